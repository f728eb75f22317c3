"""Who works on what in a folder that several processes and machines share: a file beside the work says so.

A claim is a file that its process makes as nobody else can and touches every few seconds. One that is left behind is
taken over: at once where its process is known to be gone, otherwise when nobody touched it for ten minutes. Writes the
file of the claim and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import UserError

TOUCHED = 10.0
"""Seconds between two touches."""
GONE = 600.0
"""Seconds without a touch after which a claim counts as left behind."""


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether ``path`` is now this process's; if so, it is kept until the end of the block."""
    token = _take(path)
    if token is None:
        yield False
        return
    done = threading.Event()
    keeper = threading.Thread(target=_keep, args=(path, done), daemon=True)
    keeper.start()
    try:
        yield True
    finally:
        done.set()
        keeper.join()
        if (_read(path) or {}).get("token") == token:  # another may have taken over what seemed left behind
            path.unlink(missing_ok=True)


@contextmanager
def waited(path: Path, patience: float = 0.5) -> Iterator[None]:
    """Like `claimed`, but waits until it is free."""
    while True:
        with claimed(path) as ours:
            if ours:
                yield
                return
        time.sleep(patience)


def is_claimed(path: Path) -> bool:
    """Whether somebody works on it."""
    found = _read(path)
    return found is not None and not _left_behind(path, found)


def _take(path: Path) -> str | None:
    path.parent.mkdir(parents=True, exist_ok=True)
    there = _read(path)
    if there is not None:
        if not _left_behind(path, there):
            return None
        _remove(path, there)
    mine = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "token": uuid.uuid4().hex,
    }
    # Written whole under another name first, so that nobody reads half a claim; a link fails where the name is taken.
    part = path.with_name(f".{path.name}.{mine['token']}")
    try:
        part.write_text(json.dumps(mine))
        os.link(part, path)
    except FileExistsError:
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be made ({error.strerror}): give a folder that you may write to") from error
    finally:
        part.unlink(missing_ok=True)
    return mine["token"]


def _remove(path: Path, there: dict[str, Any]) -> None:
    """Move a claim that was left behind out of the way, unless it is a new one by now."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.gone")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if (_read(aside) or {}).get("token") != there.get("token"):
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    aside.unlink()


def _keep(path: Path, done: threading.Event) -> None:
    while not done.wait(TOUCHED):
        with contextlib.suppress(OSError):
            os.utime(path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _left_behind(path: Path, claim: dict[str, Any]) -> bool:
    if claim.get("host") == socket.gethostname():
        started = _started(int(claim.get("pid", 0)))
        return started is None or started != claim.get("started")
    try:
        age = _now(path.parent) - path.stat().st_mtime
    except FileNotFoundError:
        return False
    return age > GONE


def _now(folder: Path) -> float:
    """By the clock that stamps this folder's files, which need not be this machine's."""
    probe = folder / f".clock-{uuid.uuid4().hex}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _started(pid: int) -> str | None:
    """When a process of this machine began, "" where that cannot be told, None if there is no such process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
