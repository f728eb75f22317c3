"""PC-DARTS's mixed edges one after the other, by its formula, from the weights of a `Supernet`; slow and obvious.

Also the weights of one edge out of those that run side by side, for a network made of a genotype to share.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from augwise.models.genotype import EDGES, OPERATIONS


def edge_steps(cell, node, state):
    """(the `MixedEdges` that an edge runs in, its place there)."""
    if not cell.halve or state < 2:
        return cell.outer[node], state
    return cell.inner[node], state - 2


def edge_weights(cell, node, state, operation):
    """Weights of the convolutions of one operation of one edge, in the order in which they are applied."""
    steps, place = edge_steps(cell, node, state)
    if "pool" in operation:
        return []
    if operation == "skip_connect":
        found = [steps.here, steps.moved] if steps.stride == 2 else []
    else:
        found = [layer for separated in steps.steps[operation] for layer in separated]
    return [layer.weight.detach().chunk(steps.edges)[place] for layer in found]


def operate(operation, x, weights, stride):
    """One operation of an edge with its batch-norms, without what it counts."""
    if operation == "none":
        return torch.zeros_like(x[:, :, ::stride, ::stride])
    if operation == "max_pool_3x3":
        return normalised(functional.max_pool2d(x, 3, stride, 1))
    if operation == "avg_pool_3x3":
        return normalised(functional.avg_pool2d(x, 3, stride, 1, count_include_pad=False))
    if operation == "skip_connect" and stride == 1:
        return x
    if operation == "skip_connect":
        here = functional.conv2d(x.relu(), weights[0], stride=2)
        beyond = functional.pad(x.relu(), (0, 2, 0, 2))[:, :, 1:, 1:]  # zeros where the map has ended
        behind = functional.conv2d(beyond, weights[1], stride=2)[:, :, : here.shape[2], : here.shape[3]]
        return normalised(torch.cat([here, behind], 1))
    size, dilation = int(operation[-1]), 2 if operation.startswith("dil") else 1
    for deep, point in zip(weights[::2], weights[1::2], strict=True):
        x = functional.conv2d(x.relu(), deep, None, stride, dilation * (size // 2), dilation, groups=len(deep))
        x = normalised(functional.conv2d(x, point))
        stride = 1
    return x


def normalised(x):
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def cell_output(cell, before, last, alpha, beta):
    """alpha: (14, 8) and beta: (14,), both after their softmax."""
    states = [cell.first(before), cell.second(last)]
    for node in range(4):
        total = 0
        for state in range(node + 2):
            edge = EDGES.index((node, state))
            x, stride = states[state], 2 if cell.halve and state < 2 else 1
            q = x.shape[1] // cell.partial
            mixed = sum(
                alpha[edge, o] * operate(name, x[:, :q], edge_weights(cell, node, state, name) if o else [], stride)
                for o, name in enumerate(OPERATIONS)
            )
            both = mixed
            if q < x.shape[1]:
                passed = x[:, q:] if stride == 1 else functional.max_pool2d(x[:, q:], 2, ceil_mode=True)
                both = torch.cat([mixed, passed], 1)
            shuffled = torch.empty_like(both)
            for channel in range(both.shape[1]):
                group, within = divmod(channel, q)
                shuffled[:, within * cell.partial + group] = both[:, channel]
            total = total + beta[edge] * shuffled
        states.append(total)
    return torch.cat(states[2:], 1)


def share_weights(supernet, network):
    """Give a `CellNetwork` the weights of a `Supernet` with partial = 1, and its pooled edges the batch-norm that the
    supernet has behind them."""
    network.stem.load_state_dict(supernet.stem.state_dict(), strict=False)
    network.head.load_state_dict(supernet.head.state_dict())
    for searched, made in zip(supernet.cells, network.cells, strict=True):
        for mine, theirs in ((made.first, searched.first), (made.second, searched.second)):
            mine.load_state_dict(theirs.state_dict(), strict=False)
        genotype = network.genotype.reduction if searched.halve else network.genotype.normal
        for node, edges in enumerate(genotype):
            for place, (operation, state) in enumerate(edges):
                step = made.edges[2 * node + place]
                if isinstance(step, nn.Identity):
                    continue
                if "pool" in operation:
                    step[0] = nn.Sequential(step[0], nn.BatchNorm2d(searched.mixed, affine=False).double())
                layers = [layer for layer in step.modules() if isinstance(layer, nn.Conv2d)]
                for layer, weight in zip(layers, edge_weights(searched, node, state, operation), strict=False):
                    layer.weight.data = weight.clone()
