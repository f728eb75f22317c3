"""How far apart two images are in a network's own eyes (LP-A3, Eq. 3). Looks at the model's layers, changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..layers import channels_first, full_name, hooked, is_map
from .norms import held

_OF_A_BLOCK = 2  # sizes of map inside a block: the one it takes and the one it gives
_BLOCKS = 4  # of a transformer, whose tokens keep their number, so that nothing else tells its stages apart


class _Map(NamedTuple):
    """What a module gave; version: how often that had been written to by then."""

    name: str
    output: Tensor
    version: int


class Look(NamedTuple):
    """What a model saw in N images. features: φ, one tensor per layer with the layer's shape; logits: (N, K)."""

    features: list[Tensor]
    logits: Tensor


class Away(NamedTuple):
    """distance: (N,) from other images; logits: (N, K)."""

    distance: Tensor
    logits: Tensor


@final
class PerceptualDistance:
    """LPIPS(x, x′) = ‖φ(x) − φ(x′)‖₂,  φ(x) = (F̂_1(x) / √(w_1 h_1), …, F̂_L(x) / √(w_L h_L))    (LP-A3, Eq. 3)

    with F̂_l what layer l gives, divided at each place by its norm over channels (Zhang et al. 2018, without their
    learned weights). Between 0 and 2 √L.

    model: any classifier from images (N, C, H, W) to logits, used as it is: whoever wants evaluation mode sets it.
    layers: names in ``model.named_modules()`` whose output is a feature map (N, C, h, w) or (N, h, w, C), tokens
        (N, T, C) or features (N, C); None: where the network's stages end, see `stages`. A name that is no module may
        be a node of the traced model, as in `torchvision.models.feature_extraction`, such as ``"layer1.0.add"``.

    Differentiable. A model made by `torch.compile` is looked at through its traced graph, compiled as well. Half
    precision is compared in float32. Raises `UserError` for a layer that does not exist, does not run, gives no such
    tensor, or whose output the next module writes over.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str] | None = None) -> None:
        if layers is not None and (isinstance(layers, str) or not len(layers)):
            raise UserError(f"layers={layers!r}: give the names of one layer or more, as ('layer1', 'layer2')")
        compiled = getattr(model, "_orig_mod", None)
        self.model: nn.Module = model if compiled is None else compiled
        self.compiled = compiled is not None
        self.layers: tuple[str, ...] = () if layers is None else tuple(layers)
        self._graph: Any = None
        if self.layers:
            self._find()  # a wrong name shows at once

    def look(self, images: Tensor) -> Look:
        """φ and the logits, from one forward pass."""
        outputs, logits = self._outputs(images)
        return Look([_normalized(output, *axis) for output, axis in outputs], logits)

    def away(self, images: Tensor, other: Look) -> Away:
        """The distance of images from those of another look, from one forward pass and in few steps: what `distance`
        of both looks gives, up to rounding of 1e-7 in its square. Differentiable in the images."""
        outputs, logits = self._outputs(images)
        squares = [
            _Chords.apply(output, seen, *axis) for (output, axis), seen in zip(outputs, other.features, strict=True)
        ]
        return Away((torch.stack(squares).sum(0).clamp_min(0) + 1e-20).sqrt(), logits)

    def __call__(self, images: Tensor, others: Tensor) -> Tensor:
        """(N,) distances between images and others, both (N, C, H, W)."""
        if images.shape != others.shape:
            raise UserError(f"images {tuple(images.shape)} and {tuple(others.shape)}: give pairs of the same shape")
        return distance(self.look(images).features, self.look(others).features)

    def _outputs(self, images: Tensor) -> tuple[list[tuple[Tensor, tuple[int, float]]], Tensor]:
        """What each layer gave, in float32 at least, with the axis of its channels and 1 / √places; and the logits."""
        if not self.layers:
            self.layers = stages(self.model, images)
            self._find()
        outputs, logits = self._traced(images) if self._graph is not None else self._watched(images)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise UserError(f"the {type(self.model).__name__} gives no logits (N, classes): give a classifier")
        size = (images.shape[-2], images.shape[-1])
        found = []
        for name, output in zip(self.layers, outputs, strict=True):
            axis = _axis(output, size, name)
            output = output.to(torch.promote_types(output.dtype, torch.float32))
            places = output[0].numel() // output.shape[axis] if len(output) else 1
            found.append((output, (axis, places**-0.5)))
        return found, logits

    def _find(self) -> None:
        """Full names of the layers, or the traced graph where they are not all modules or the model is compiled."""
        why = "the model is compiled" if self.compiled else ""
        found: list[str] = []
        for layer in self.layers:
            try:
                found.append(full_name(self.model, layer))
            except UserError as wrong:
                found.append(layer)
                why = str(wrong)
        self.layers = tuple(found)
        if why:
            graph = _traced(self.model, self.layers, why)
            self._graph = torch.compile(graph) if self.compiled else graph

    def _traced(self, images: Tensor) -> tuple[list[Any], Any]:
        found = self._graph(images)
        return [found[str(i)] for i in range(len(self.layers))], found["logits"]

    def _watched(self, images: Tensor) -> tuple[list[Tensor], Any]:
        given: dict[str, Tensor] = {}
        versions: dict[str, int] = {}

        def keep(name: str) -> Any:
            def hook(_: nn.Module, __: Any, output: Any) -> None:
                given[name] = output
                versions[name] = _version(output)

            return hook

        with hooked([(self.model.get_submodule(name), keep(name)) for name in self.layers]):
            logits = self.model(images)
        for name in self.layers:
            if name not in given:
                raise UserError(f"layer {name!r} did not run in the model's forward pass: name one that always runs")
            if _version(given[name]) != versions[name]:
                raise UserError(
                    f"what layer {name!r} gives is written over by the module behind it, an in-place ReLU perhaps: "
                    "name that one"
                )
        return [given[name] for name in self.layers], logits

    def __repr__(self) -> str:
        return f"PerceptualDistance({type(self.model).__name__}, layers={self.layers or None})"


def distance(features: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """‖φ − φ′‖₂ for each of N images, from what two looks gave (LP-A3, Eq. 3): (N,).

    The gradient is zero, not undefined, where they are the same.
    """
    squares = [(a - b).square().flatten(1).sum(1) for a, b in zip(features, others, strict=True)]
    return (torch.stack(squares).sum(0) + 1e-20).sqrt()


@torch.no_grad()
def stages(model: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Where the stages of a network end: of each size of feature map the module that gives it last, in their order.

    ResNets: layer1 to layer4; the small CNN: before each pooling and at the end. The image itself is left out, as are
    outputs that are written over and what a module that makes the map smaller does with it first: the block that
    begins the next stage, the head. A transformer of tokens has no such sizes: four of its blocks, evenly spaced.
    images: one or more to watch the model with, in evaluation mode.
    """
    size, channels = (images.shape[-2], images.shape[-1]), images.shape[1]
    maps: dict[tuple[int, int], list[_Map]] = {}
    tokens: dict[str, tuple[int, ...]] = {}

    def sides(given: Any) -> tuple[int, int] | None:
        """Of a feature map, not of the image."""
        if not is_map(given, size) or len(given) != 1:
            return None
        _, found, h, w = channels_first(given, size).shape
        return (h, w) if found > channels else None

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            before, after = sides(inputs[0] if inputs else None), sides(output)
            # A row of modules, and whatever spans several sizes, is no block.
            spanned = sum(any(m.name.startswith(f"{name}.") for m in found) for found in maps.values())
            if before in maps and after != before and type(module) is not nn.Sequential and spanned <= _OF_A_BLOCK:
                maps[before] = [m for m in maps[before] if not m.name.startswith(f"{name}.")]
            if after is not None and after[0] <= min((h for h, _ in maps), default=size[0]):
                # Attention between places looks like a map, but larger. Of one parent's modules the last one counts.
                beside = name.rpartition(".")[0]
                there = [m for m in maps.get(after, []) if not _within(m.name, name, beside)]
                maps[after] = [*there, _Map(name, output, _version(output))]
            elif isinstance(output, Tensor) and output.ndim == 3:
                tokens[name] = tuple(output.shape)

        return hook

    with held(model), hooked([(module, watch(name)) for name, module in model.named_modules() if name]):
        model(images[:1])
    blocks = _blocks(model, tokens)
    if len(blocks) >= _BLOCKS:
        return tuple(blocks[len(blocks) * (i + 1) // _BLOCKS - 1] for i in range(_BLOCKS))
    last = [found[-1] for found in maps.values() if found]
    names = [name for name, output, version in last if _version(output) == version]
    if not names:
        raise UserError(
            f"the {type(model).__name__} has no feature maps to compare images by: name layers that give "
            "(N, channels), as layers=('features',)"
        )
    return tuple(names)


def _within(name: str, module: str, parent: str) -> bool:
    """Whether a module's name is one inside ``module``, or beside it in the same parent."""
    return name.startswith(f"{module}.") or name.rpartition(".")[0] == parent


def _blocks(model: nn.Module, tokens: dict[str, tuple[int, ...]]) -> list[str]:
    """The longest row of modules, of one `nn.Sequential` or `nn.ModuleList`, that all give tokens of one shape."""
    longest: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Sequential | nn.ModuleList):
            children = [f"{name}.{child}".removeprefix(".") for child, _ in module.named_children()]
            if len(children) > len(longest) and len({tokens.get(child) for child in children} - {None}) == 1:
                longest = [child for child in children if child in tokens]
    return longest


def _traced(model: nn.Module, layers: Sequence[str], why: str) -> Any:
    """A module that gives the layers as "0", "1", … and the logits, sharing the model's parameters."""
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    try:
        with held(model):
            _, nodes = get_graph_node_names(model)
            modules = {name for name, _ in model.named_modules()}
            wanted = {_node(layer, nodes, modules): str(i) for i, layer in enumerate(layers)}
            return create_feature_extractor(model, {**wanted, nodes[-1]: "logits"}).eval()
    except Exception as wrong:
        raise UserError(f"{why}; nor can layers {list(layers)} be found by tracing the model: {wrong}") from wrong


def _node(layer: str, nodes: Sequence[str], modules: set[str]) -> str:
    """The layer's name among the nodes of the graph; a module's own name stands for the last of its nodes."""
    names = [wrapped + layer for wrapped in ("", "model.", "model.model.")]
    return next((name for name in names if name in modules or name in nodes), layer)


def _version(output: Any) -> int:
    """How often a tensor was written to in place; inference tensors do not count."""
    return output._version if isinstance(output, Tensor) and not output.is_inference() else 0


def _axis(output: Any, size: tuple[int, int], name: str) -> int:
    """Which dimension of a layer's output counts its channels."""
    if not isinstance(output, Tensor) or output.ndim not in (2, 3, 4) or not output.is_floating_point():
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise UserError(
            f"layer {name!r} gives {got}: name one that gives (N, channels, height, width), or (N, channels)"
        )
    return 1 if output.ndim == 2 or (output.ndim == 4 and not _channels_last(output, size)) else output.ndim - 1


def _normalized(output: Tensor, axis: int, scale: float) -> Tensor:
    """Unit norm over channels at each place, times ``scale``."""
    squares = _squares(output, axis)
    seen = squares > 0  # the root has no derivative at 0
    norm = torch.where(seen, torch.where(seen, squares, 1.0).sqrt(), 0.0)
    return output * (scale / (norm + 1e-10))


def _squares(output: Tensor, axis: int) -> Tensor:
    """Σ over channels of F²; torch.linalg.vector_norm over a middle dimension takes ten times as long on a CPU."""
    return (output * output).sum(axis, keepdim=True)


class _Chords(torch.autograd.Function):
    """Σ over places of ‖û s − v‖², û = F / ‖F‖ over channels, v constant and of norm s or 0: (N,).

    = Σ s² + ‖v‖² − 2 s û · v, whose gradient to F is 2 s (û (û · v) − v) / ‖F‖. Written out because it is most of what
    looking costs a network with large feature maps: few passes over them each way in place of a dozen.
    """

    @staticmethod
    def forward(ctx: Any, output: Tensor, other: Tensor, axis: int, scale: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        length = _squares(output, axis).sqrt()
        norm = length + 1e-10
        along = (output * other).sum(axis, keepdim=True) / norm
        ctx.save_for_backward(output, other, norm, along)
        ctx.scale = scale
        return ((scale * length / norm).square() + _squares(other, axis) - 2 * scale * along).flatten(1).sum(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        output, other, norm, along = ctx.saved_tensors
        factor = 2 * ctx.scale * gradient.view(-1, *[1] * (output.ndim - 1)) / norm
        return torch.addcmul(output * (factor * along / norm), other, factor, value=-1), None, None, None


def _channels_last(output: Tensor, size: tuple[int, int]) -> bool:
    return is_map(output, size) and channels_first(output, size) is not output
