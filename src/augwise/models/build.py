"""From a name to a classifier with the right head. Reads no files of the user's; downloads only where asked to."""

from __future__ import annotations

import difflib
from contextlib import nullcontext
from typing import Any

import torchvision
from torch import nn

from ..errors import UserError
from ..randomness import stream
from .cell_networks import cell_network, cell_shape
from .reid import OF_IMAGENET, REID
from .small_images import SMALL
from .stem import replace_stem

OWN = (*SMALL, *REID)
_WARN_WITHOUT_INIT = ("googlenet", "inception_v3")


def build(
    name: str, num_classes: int, in_channels: int = 3, pretrained: bool = False, seed: int | None = None
) -> nn.Module:
    """A classifier (N, in_channels, H, W) -> (N, num_classes) logits.

    name: one of `small_images.SMALL` such as "small_cnn", "resnet18", "wrn28_10" (for small images), of `reid.REID`
        (for re-identification), "torchvision:NAME" or "timm:NAME" (those libraries' own stems, made for larger images),
        or "darts:GENOTYPE", a network made of a published genotype or of the file of a search, see
        `cell_networks.cell_shape`.
    pretrained: start from that library's default ImageNet weights, with a new head; needs the network once. The images
        then want that library's normalisation (for most ImageNet's mean and std).
    seed: of the initial weights; without it they come from torch's current stream. A new head is drawn either way.
    """
    for argument, value in (("num_classes", num_classes), ("in_channels", in_channels)):
        if value < 1:
            raise UserError(f"{argument} is {value}: give at least 1")
    shape = cell_shape(name)
    if shape is not None and pretrained:
        raise UserError(f"{name} has no pretrained weights: leave out pretrained")
    if shape is not None:
        with nullcontext() if seed is None else stream("model", name.partition(":")[0], seed):
            return cell_network(shape, num_classes, in_channels)
    library, _, inner = name.rpartition(":")
    makers = {"": _own, "timm": _timm, "torchvision": _torchvision}
    if library not in makers:
        raise UserError(
            f"model {name!r} is unknown: write timm:NAME, torchvision:NAME, darts:GENOTYPE or one of {', '.join(OWN)}"
        )
    with nullcontext() if seed is None else stream("model", name, seed):
        return makers[library](inner, num_classes, in_channels, pretrained)


def find_head(model: nn.Module) -> str:
    """Name of the layer that gives the logits: the last linear layer, or last convolution if there is none."""
    layers = list(model.named_modules())
    linear = [name for name, m in layers if isinstance(m, nn.Linear)]
    found = linear or [name for name, m in layers if isinstance(m, nn.Conv2d)]
    if not found:
        raise UserError(f"{type(model).__name__} has neither a linear nor a convolutional layer to be its head")
    return found[-1]


def replace_head(model: nn.Module, num_classes: int) -> None:
    """Put a fresh layer with ``num_classes`` outputs in place of the head, in place."""
    name = find_head(model)
    old = model.get_submodule(name)
    if isinstance(old, nn.Linear):
        new = nn.Linear(old.in_features, num_classes, bias=old.bias is not None)
    else:
        assert isinstance(old, nn.Conv2d)
        size: Any = old.kernel_size
        new = nn.Conv2d(old.in_channels, num_classes, size, bias=old.bias is not None)
    model.set_submodule(name, new)


def _own(name: str, num_classes: int, in_channels: int, pretrained: bool) -> nn.Module:
    if name not in OWN:
        there = [*OWN, *(f"torchvision:{n}" for n in _torchvision_names())]
        raise _unknown(name, there, [n.rpartition(":")[2] for n in there])
    if name in REID and not pretrained:
        return REID[name](num_classes, in_channels, False)
    if name in OF_IMAGENET:
        try:
            return REID[name](num_classes, in_channels, True)
        except (OSError, RuntimeError) as error:  # no network; a download whose hash is wrong
            raise _no_weights(name, error) from error
    if pretrained:
        raise UserError(f"{name} has no pretrained weights: take torchvision:resnet18 or timm:NAME, or a checkpoint")
    return SMALL[name](num_classes, in_channels)


def _timm(name: str, num_classes: int, in_channels: int, pretrained: bool) -> nn.Module:
    try:
        import timm
    except ImportError as error:
        raise UserError(f"model timm:{name} needs timm: pip install augwise[timm]") from error
    if not timm.is_model(name.partition(".")[0]):
        raise _unknown(f"timm:{name}", [f"timm:{n}" for n in timm.list_models()])
    if not pretrained:
        return timm.create_model(name, num_classes=num_classes, in_chans=in_channels)
    try:
        return timm.create_model(name, pretrained=True, num_classes=num_classes, in_chans=in_channels)
    except Exception as error:  # timm's hub raises half a dozen unrelated types where the network is missing
        raise _no_weights(f"timm:{name}", error) from error


def _torchvision(name: str, num_classes: int, in_channels: int, pretrained: bool) -> nn.Module:
    if name not in _torchvision_names():
        raise _unknown(f"torchvision:{name}", [f"torchvision:{n}" for n in _torchvision_names()])
    options = {"init_weights": True} if name in _WARN_WITHOUT_INIT and not pretrained else {}
    try:
        model = torchvision.models.get_model(name, weights="DEFAULT" if pretrained else None, **options)
    except (OSError, RuntimeError) as error:  # no network; a download whose hash is wrong
        raise _no_weights(f"torchvision:{name}", error) from error
    for auxiliary in ("AuxLogits", "aux1", "aux2"):  # heads of 1000 classes that only training would use
        if hasattr(model, auxiliary):
            setattr(model, auxiliary, None)
            setattr(model, "aux_logits", False)  # noqa: B010  (a plain attribute)
    replace_head(model, num_classes)
    if in_channels != 3:
        replace_stem(model, in_channels)
    return model


def _torchvision_names() -> list[str]:
    return torchvision.models.list_models(module=torchvision.models)


def _unknown(name: str, there: list[str], match: list[str] | None = None) -> UserError:
    close = difflib.get_close_matches(name, match or there, n=3)
    names = dict.fromkeys(there[(match or there).index(c)] for c in close)
    hint = f"did you mean {', '.join(names)}? " if names else ""
    return UserError(
        f"model {name!r} is unknown: {hint}use {', '.join(OWN)}, timm:NAME, torchvision:NAME or darts:GENOTYPE"
    )


def _no_weights(name: str, error: Exception) -> UserError:
    return UserError(
        f"could not get the pretrained weights of {name} ({type(error).__name__}: {error}). Without access to the "
        "network, copy the weights here and load them as a checkpoint, or leave out pretrained"
    )
