"""Files that appear whole or not at all, and folders that are tried before work is done. Knows nothing of contents."""

from __future__ import annotations

import contextlib
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from .errors import UserError

DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)
"""What NumPy raises where an archive is cut short, garbled or lacks a part."""


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Let ``write`` fill a file beside ``path``, bring it to disk, then put it in place: whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException as e:
        with contextlib.suppress(OSError):
            temporary.unlink()
        # torch.save hides what the file said
        reason = e.__context__ if isinstance(e, RuntimeError) else e
        if not isinstance(reason, OSError):
            raise
        raise UserError(
            f"{path} cannot be written ({reason.strerror or reason}): make room or give yourself permission there, or "
            "give another out folder; what was there before is untouched"
        ) from None


def _sync_folder(folder: Path) -> None:
    """The rename itself to disk. Windows cannot open folders and does not need it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_writable(folder: Path) -> None:
    """Make ``folder`` and try a file in it, before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-{os.getpid()}"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as e:
        raise UserError(
            f"out={str(folder)!r} cannot be written to ({e.strerror or e}): give a folder that can"
        ) from None
