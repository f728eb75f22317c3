"""Weights from a file into a model. A file from someone else can be wrong, but it can never run code."""

from __future__ import annotations

import copy
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from .build import find_head
from .ensemble import PREFIX, Ensemble
from .normalized import Normalized

_NESTED = ("model", "models", "state_dict", "model_state_dict", "state", "objective")  # where checkpoints keep them


def load_weights(model: nn.Module, path: str | Path, *, new_head: bool = False) -> nn.Module:
    """Load a state dict into ``model``, in place; returns the model.

    path: a ``.safetensors`` file; or what `torch.save` wrote: a state dict, a checkpoint that holds one under "model"
        or "state_dict", or the checkpoint of one of our training runs. Only tensors and plain containers are read
        (``weights_only=True``).
    new_head: keep the model's own, fresh last layer where the file's has another number of classes. Without it that is
        an error, as every other difference of names or shapes is.

    A file of the bare classifier also fits `Normalized` around that classifier, and the other way round. A file of
    several networks (an `Ensemble`'s, as DivideMix leaves it) gives an ensemble of copies of ``model``, which stays as
    it is. Nothing is loaded unless everything fits.
    """
    found = read_weights(path)
    members = list(dict.fromkeys(k.split(".")[1] for k in found if k.startswith(PREFIX)))
    if members and not any(PREFIX in k for k in model.state_dict()):
        if new_head:
            raise UserError(f"{path} holds {len(members)} networks that decide together: start from one network's file")
        model = Ensemble({name: copy.deepcopy(model) for name in members})
    weights = _fit_wrapper(model, found)
    own = model.state_dict()
    head = _head_keys(model)
    other_shape = [k for k in own if k in weights and weights[k].shape != own[k].shape]
    if other_shape and set(other_shape) <= head:
        if not new_head:
            raise UserError(
                f"{path} has a head for {len(weights[other_shape[0]])} classes, the model one for "
                f"{len(own[other_shape[0]])}: build the model with that many classes, or ask for a new head "
                "(new_head=True), which then has to be trained"
            )
        weights |= {k: own[k] for k in head}
        other_shape = []
    _check_same(path, own, weights, other_shape)
    model.load_state_dict({k: weights[k] for k in own})
    return model


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a file, see `load_weights`; on the CPU."""
    path = Path(path)
    if not path.is_file():
        inside = path / "weights.safetensors"
        what = f"such as {inside}" if inside.is_file() else "of weights"
        raise UserError(f"{path} is {'a folder' if path.is_dir() else 'not there'}: give a file {what}")
    found = _unnest(_read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path))
    if not isinstance(found, dict) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        raise UserError(f"{path} holds no state dict: save model.state_dict() with torch.save or safetensors")
    found = {str(k).replace("_orig_mod.", ""): v for k, v in found.items()}  # left behind by torch.compile
    if all(k.startswith("module.") for k in found):  # by DistributedDataParallel
        found = {k.removeprefix("module."): v for k, v in found.items()}
    for name, value in found.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise UserError(f"{path} holds NaN or infinity in {name}: take weights from before training diverged")
    return found


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}): it is damaged, or no safetensors file") from error


def _read_torch(path: Path) -> Any:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:  # torch checks no checksums when it reads
                if broken := archive.testzip():
                    raise ValueError(f"{broken} has a wrong checksum")
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is damaged, or holds objects other than tensors, which could run code; none was run. Where you "
            "trust it, open it yourself and save only model.state_dict()"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}): it is damaged, or was not written by torch.save") from error


def _unnest(found: Any) -> Any:
    for key in _NESTED:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            return _unnest(found[key])
    return found


def _fit_wrapper(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    wrapped = {"mean", "std"} <= weights.keys()
    if isinstance(model, Normalized) and not wrapped:
        return {f"model.{k}": v for k, v in weights.items()} | {"mean": model.mean, "std": model.std}
    if wrapped and not {"mean", "std"} & model.state_dict().keys():
        return {k.removeprefix("model."): v for k, v in weights.items() if k.startswith("model.")}
    return weights


def _head_keys(model: nn.Module) -> set[str]:
    head = find_head(model)
    prefix = f"{head}." if head else ""
    return {prefix + name for name, _ in model.get_submodule(head).named_parameters(recurse=False)}


def _check_same(path: str | Path, own: dict[str, Any], weights: dict[str, Tensor], other_shape: list[str]) -> None:
    differences = [
        ("has no", [k for k in own if k not in weights]),
        ("has but the model lacks", [k for k in weights if k not in own]),
        ("has another shape of", [f"{k} {tuple(weights[k].shape)} for {tuple(own[k].shape)}" for k in other_shape]),
    ]
    told = [f"it {what} {', '.join(k[:3])}{' …' if len(k) > 3 else ''}" for what, k in differences if k]
    if told:
        raise UserError(f"{path} holds the weights of another architecture: {'; '.join(told)}")
