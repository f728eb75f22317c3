"""The network in which PC-DARTS searches (Xu et al., ICLR 2020): every edge of a cell is a mixture of all operations.

An edge mixes on the first 1 / K of its channels alone and passes the others on, after which channels are shuffled
(section 3.2); edges into a node are weighed among each other, edge normalisation (section 3.3). With x_j the states
before node i, S the shuffle, q = C / K channels and o over the operations:

    x_i = Σ_j β_ij · S( Σ_o α_ij^o · o(x_j[:q]) , x_j[q:] ),   α_ij = softmax over o, β_i = softmax over j.

S and the sums are linear and the shuffle is the same on every edge, so a node sums first and shuffles once; its edges
run side by side as groups of one convolution; and α · β is the scale of the batch-norm that ends an operation. That
changes no value beside rounding, and takes a fraction of the steps that one edge after the other takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import randomness
from ..errors import UserError
from .cell_operations import FactorizedReduce, moved, relu_conv_norm
from .genotype import EDGES, NODES, OPERATIONS, Cell, Edge, Genotype
from .parts import conv

_norm = partial(nn.BatchNorm2d, affine=False, track_running_stats=False)
_CONVOLUTIONS = {"sep_conv_3x3": (3, 1), "sep_conv_5x5": (5, 1), "dil_conv_3x3": (3, 2), "dil_conv_5x5": (5, 2)}


class Mixture(NamedTuple):
    """How a cell's edges are mixed. operations: (14, 8), what each operation of each edge counts; edges: (14,), what
    each edge counts; both in the order of `EDGES`."""

    operations: Tensor
    edges: Tensor


class MixedEdges(nn.Module):
    """All operations of some edges into one node, side by side: (N, edges · channels, H, W), the edges' inputs one
    behind the other, to (N, channels, H', W').

    Pooled maps have a batch-norm behind them, as in DARTS, so that no operation is louder than the others. All
    batch-norms take the batch's own statistics, also in evaluation, and learn no scale: the mixture has its own.
    """

    def __init__(self, edges: int, channels: int, stride: int) -> None:
        super().__init__()
        self.edges, self.channels, self.stride = edges, channels, stride
        self.steps = nn.ModuleDict()
        for name, (size, dilation) in _CONVOLUTIONS.items():
            first = self._separated(size, stride, dilation)
            self.steps[name] = nn.ModuleList([first, self._separated(size, 1, 1)] if dilation == 1 else [first])
        if stride == 2:
            half = edges * channels // 2
            options = {"kernel_size": 1, "stride": 2, "groups": edges, "bias": False}
            self.here, self.moved = (nn.Conv2d(edges * channels, half, **options) for _ in range(2))

    def _separated(self, size: int, stride: int, dilation: int) -> nn.Sequential:
        width, padding = self.edges * self.channels, dilation * (size // 2)
        depthwise = nn.Conv2d(width, width, size, stride, padding, dilation, groups=width, bias=False)
        return nn.Sequential(depthwise, nn.Conv2d(width, width, 1, groups=self.edges, bias=False))

    def forward(self, x: Tensor, counts: Tensor) -> Tensor:
        """counts: (edges, 7), what each operation but ``none`` of each edge counts."""
        each = counts.repeat_interleave(self.channels, 0).unbind(1)
        scale: dict[str, Tensor] = dict(zip(OPERATIONS[1:], each, strict=True))
        positive = functional.relu(x)
        total = _normed(functional.max_pool2d(x, 3, self.stride, 1), scale["max_pool_3x3"])
        average = functional.avg_pool2d(x, 3, self.stride, 1, count_include_pad=False)
        total = total + _normed(average, scale["avg_pool_3x3"])
        total = total + self._skipped(x, positive, scale["skip_connect"])
        for name, steps in self.steps.items():
            found = steps[0](positive)  # pyright: ignore[reportIndexIssue]
            if name.startswith("sep"):
                found = steps[1](functional.relu(_normed(found)))  # pyright: ignore[reportIndexIssue]
            total = total + _normed(found, scale[name])
        return self._apart(total).sum(1)

    def _skipped(self, x: Tensor, positive: Tensor, scale: Tensor) -> Tensor:
        if self.stride == 1:
            return x * scale.to(x.dtype)[:, None, None]
        halves = [self._apart(self.here(positive)), self._apart(self.moved(moved(positive)))]
        return _normed(torch.cat(halves, 2).flatten(1, 2), scale)

    def _apart(self, x: Tensor) -> Tensor:
        """(N, edges, channels of each, H, W)."""
        return x.unflatten(1, (self.edges, -1))


def _normed(x: Tensor, scale: Tensor | None = None) -> Tensor:
    return functional.batch_norm(x, None, None, scale, None, True)


def shuffled(mixed: Tensor, passed: Tensor, groups: int) -> Tensor:
    """(N, q, H, W) and (N, (K − 1) q, H, W), one of K = ``groups`` groups and all others, as (N, K q, H, W) whose
    channel i K + g is channel i of group g: the shuffle of ShuffleNet, in one copy that keeps the layout in memory."""
    if groups == 1:
        return mixed
    parts = [mixed, *passed.chunk(groups - 1, 1)]
    if mixed.shape[1] > 1 and mixed.stride(1) == 1:  # channels_last
        return torch.stack([part.permute(0, 2, 3, 1) for part in parts], -1).flatten(3).permute(0, 3, 1, 2)
    return torch.stack(parts, 2).flatten(1, 2)


class SearchCell(nn.Module):
    """A cell whose edges are mixtures. partial: K, of which one part of the channels is mixed."""

    def __init__(self, before: int, last: int, channels: int, halve: bool, halved: bool, partial: int) -> None:
        super().__init__()
        self.partial, self.halve, self.mixed = partial, halve, channels // partial
        self.first = (FactorizedReduce if halved else relu_conv_norm)(before, channels, _norm)
        self.second = relu_conv_norm(last, channels, _norm)
        # A reduction's edges from the cell's inputs have stride 2, those between its nodes 1: they run apart.
        self.outer, self.inner = nn.ModuleList(), nn.ModuleList()
        for node in range(NODES):
            edges = 2 if halve else node + 2
            self.outer.append(MixedEdges(edges, self.mixed, 2 if halve else 1))
            self.inner.append(MixedEdges(node, self.mixed, 1) if halve and node else nn.Identity())

    def forward(self, before: Tensor, last: Tensor, mixture: Mixture) -> Tensor:
        inputs = [self.first(before), self.second(last)]
        mixed = [state[:, : self.mixed] for state in inputs]
        passed = [state[:, self.mixed :] for state in inputs]
        if self.halve:
            passed = [functional.max_pool2d(p, 2, ceil_mode=True) if p.shape[1] else p for p in passed]
        counts, edges = (mixture.operations * mixture.edges[:, None])[:, 1:], mixture.edges
        outputs, first = [], 0
        for node in range(NODES):
            own = counts[first : first + node + 2]
            outer = 2 if self.halve else node + 2
            found = self.outer[node](torch.cat(mixed[:outer], 1), own[:outer])
            if outer < node + 2:
                found = found + self.inner[node](torch.cat(mixed[outer:], 1), own[outer:])
            beside = _weighed(passed, edges[first : first + node + 2]) if self.partial > 1 else found
            state = shuffled(found, beside, self.partial)
            mixed.append(state[:, : self.mixed])
            passed.append(state[:, self.mixed :])
            outputs.append(state)
            first += node + 2
        return torch.cat(outputs, 1)


def _weighed(parts: list[Tensor], by: Tensor) -> Tensor:
    total = parts[0] * by[0].to(parts[0].dtype)
    for part, weight in zip(parts[1:], by[1:], strict=True):
        total = total + part * weight.to(part.dtype)
    return total


@final
class Supernet(nn.Module):
    """(N, in_channels, H, W) -> (N, num_classes) logits of all architectures mixed.

    channels: of the first cells, a multiple of 2 · ``partial``; layers: cells, of which those at a third and two thirds
    are reductions; partial: K; edge_normalisation: without it every edge counts 1, as in DARTS. seed: of the
    architecture's parameters, N(0, 0.001²); the weights come from torch's stream.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        channels: int = 16,
        layers: int = 8,
        partial: int = 4,
        edge_normalisation: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if layers < 3 or partial < 1 or channels < 1 or channels % (2 * partial):
            raise UserError(
                f"a supernet of {layers} cells that begin with {channels} channels, of which 1 / {partial} is mixed, "
                f"cannot be built: give 3 cells or more, and a multiple of {2 * max(1, partial)} channels"
            )
        self.edge_normalisation = edge_normalisation
        self.stem = nn.Sequential(
            conv(in_channels, 3 * channels), nn.BatchNorm2d(3 * channels, track_running_stats=False)
        )
        before, last, halved, cells = 3 * channels, 3 * channels, False, []
        for place in range(layers):
            halve = place in (layers // 3, 2 * layers // 3)
            channels *= 2 if halve else 1
            cells.append(SearchCell(before, last, channels, halve, halved, partial))
            before, last, halved = last, NODES * channels, halve
        self.cells = nn.ModuleList(cells)
        self.head = nn.Linear(last, num_classes)
        for kind in ("normal", "reduction"):
            generator = randomness.generator(seed, "architecture", kind)
            alpha = 1e-3 * torch.randn(len(EDGES), len(OPERATIONS), generator=generator)
            self.register_parameter(f"alpha_{kind}", nn.Parameter(alpha))
            self.register_parameter(f"beta_{kind}", nn.Parameter(1e-3 * torch.randn(len(EDGES), generator=generator)))

    def forward(self, images: Tensor) -> Tensor:
        return self.mixed(images, self.mixture("normal"), self.mixture("reduction"))

    def mixed(self, images: Tensor, normal: Mixture, reduction: Mixture) -> Tensor:
        """Logits with other mixtures than the network's own."""
        before = last = self.stem(images)
        for cell in self.cells:
            before, last = last, cell(before, last, reduction if cell.halve else normal)
        return self.head(last.mean((2, 3)))

    def mixture(self, kind: str) -> Mixture:
        """α and β of the cells of a kind, "normal" or "reduction", as they are now."""
        alpha, beta = getattr(self, f"alpha_{kind}"), getattr(self, f"beta_{kind}")
        edges = torch.ones_like(beta)
        if self.edge_normalisation:
            edges = torch.cat([part.softmax(0) for part in beta.split([node + 2 for node in range(NODES)])])
        return Mixture(alpha.softmax(1), edges)

    def architecture(self) -> list[nn.Parameter]:
        """α and, with edge normalisation, β of both kinds of cells."""
        wanted = ("alpha_", "beta_") if self.edge_normalisation else ("alpha_",)
        return [p for name, p in self.named_parameters() if name.startswith(wanted)]

    def weights(self) -> Iterator[nn.Parameter]:
        """All other parameters."""
        return (p for name, p in self.named_parameters() if not name.startswith(("alpha_", "beta_")))

    @torch.no_grad()
    def genotype(self) -> Genotype:
        """The architecture that is derived now, see `derived`."""
        return Genotype(derived(self.mixture("normal")), derived(self.mixture("reduction")))


def derived(mixture: Mixture) -> Cell:
    """The cell of a mixture, as in DARTS (section 2.4) and PC-DARTS (section 3.3): of every node the two edges whose
    strongest operation, ``none`` apart, counts most by α · β, the stronger first; of both that operation."""
    counts = (mixture.operations * mixture.edges[:, None])[:, 1:].double().cpu()
    strongest, which = counts.max(1)
    nodes, first = [], 0
    for node in range(NODES):
        order = sorted(range(node + 2), key=lambda state: (-float(strongest[first + state]), state))
        a, b = ((OPERATIONS[1 + int(which[first + state])], state) for state in order[:2])
        nodes.append((a, b))
        first += node + 2
    return tuple(nodes)


def strengths(mixture: Mixture, cell: Cell) -> list[list[float]]:
    """α · β of a cell's edges, two for each node."""
    counts = mixture.operations * mixture.edges[:, None]

    def of(node: int, edge: Edge) -> float:
        return float(counts[EDGES.index((node, edge[1])), OPERATIONS.index(edge[0])])

    return [[of(node, edge) for edge in edges] for node, edges in enumerate(cell)]
