"""The state of an unfinished run in one file, and the weights of a finished one.

Written whole or not at all (temporary file, fsync, rename) and read by ``torch.load(weights_only=True)`` alone, so a
file from someone else can never run code. A file that is damaged or belongs to another run is refused, with the
difference named.
"""

from __future__ import annotations

import json
import pickle
import time
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..files import write_atomically

FORMAT = 1


@dataclass
class Checkpoint:
    """One run's checkpoint file.

    identity: what must be the same for a resumed run to be the same run (plain numbers, strings, lists, dictionaries).
    circumstances: what may differ, at the cost of byte identity (threads, device, versions); a change is warned of.
    defaults: values, nested as in identity, of what a file written by an older version does not mention yet.
    every_steps, every_seconds: when `due` says so between epochs.
    """

    path: Path
    identity: dict[str, Any] = field(default_factory=dict)
    circumstances: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    every_steps: int | None = None
    every_seconds: float | None = None
    _saved: float = field(default_factory=time.monotonic)
    _steps: int = 0
    _loaded: dict[str, Any] | None = None

    def due(self) -> bool:
        """Called after each step: is it time to save?"""
        self._steps += 1
        by_steps = self.every_steps is not None and self._steps >= self.every_steps
        return by_steps or (self.every_seconds is not None and time.monotonic() - self._saved >= self.every_seconds)

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file by ``state``: tensors, numbers, strings, lists and dictionaries."""
        head = {"format": FORMAT, "identity": self.identity, "circumstances": self.circumstances}
        write_atomically(self.path, lambda file: torch.save({**head, "state": state}, file))
        self._saved, self._steps, self._loaded = time.monotonic(), 0, None

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None if there is no file; `UserError` if it is damaged or of another run."""
        if self._loaded is not None or not self.path.exists():
            return self._loaded
        content = _read(self.path)
        refuse_other(content["identity"], self.identity, self.path, self.defaults)
        changed = differences(content["circumstances"], self.circumstances)
        if changed:
            warnings.warn(
                f"{self.path} was begun with other {'; '.join(changed)}: the run goes on, but its weights will not be "
                "byte for byte those of an uninterrupted run",
                stacklevel=2,
            )
        self._loaded = content["state"]
        return self._loaded

    def remove(self) -> None:
        """Delete the file; a finished run does not need it."""
        self.path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    cure = "delete it to start the run anew, or put a good copy in its place"
    try:
        with zipfile.ZipFile(path) as archive:  # torch checks no checksums when it reads
            broken = archive.testzip()
        if broken is not None:
            raise zipfile.BadZipFile(f"{broken} has a wrong checksum")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as e:
        raise UserError(f"{path} cannot be read ({e.strerror}): give yourself permission to read it") from None
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} is damaged, or holds objects other than tensors and plain values, which could run code; none was "
            f"run: {cure}"
        ) from None
    except Exception as e:  # whatever a damaged or foreign file makes zipfile and torch raise
        raise UserError(
            f"{path} is damaged or no checkpoint of augwise ({str(e).splitlines()[0] if str(e) else e!r}): {cure}"
        ) from None
    keys = {"format", "identity", "circumstances", "state"}
    if not isinstance(content, dict) or set(content) != keys:
        raise UserError(f"{path} is no checkpoint of augwise: {cure}")
    if content["format"] != FORMAT:
        raise UserError(
            f"{path} has format {content['format']}, this version of augwise reads format {FORMAT}: finish the run "
            "with the version that began it, or delete the file to start anew"
        )
    return content


def refuse_other(old: dict[str, Any], new: dict[str, Any], where: Path, defaults: dict[str, Any] | None = None) -> None:
    """`UserError` that names what differs between the run found at ``where`` and the one asked for.

    defaults: values of what ``old`` does not mention, see `Checkpoint`.
    """
    changed = differences(_filled(old, defaults or {}), new)
    if changed:
        raise UserError(
            f"{where} belongs to another run: {'; '.join(changed)}. Set it back to go on with that run, or give "
            "another out folder for a new one"
        )


def _filled(old: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    inner = {k: _filled(old[k], v) for k, v in defaults.items() if isinstance(v, dict) and isinstance(old.get(k), dict)}
    return {**defaults, **old, **inner}


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """What differs between two plain structures, as ``lr: 0.1 there, 0.2 now``, by dotted names."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = [*old, *(k for k in new if k not in old)]
        inner = ((k, old.get(k, "unset"), new.get(k, "unset")) for k in names)
        return [line for k, a, b in inner for line in differences(a, b, f"{name}.{k}" if name else str(k))]
    return [] if old == new else [f"{name}: {old} there, {new} now"]


def plain(value: Any) -> Any:
    """``value`` as JSON gives it back: tuples become lists, paths strings."""
    return json.loads(json.dumps(value, default=str))


def save_weights(model: nn.Module, path: Path) -> None:
    """The state dictionary as safetensors. Memory that tensors share is written once for each."""
    from safetensors.torch import save

    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in model.state_dict().items()}
    write_atomically(path, lambda file: file.write(save(tensors)))
