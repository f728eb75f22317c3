"""How fast PuzzleMix and Co-Mixup make pictures, and how close their batched solvers come to exact ones.

    python -m benchmarks.mixing_solvers --json mixing_solvers.json

Speed: 128 images of 3 x 32 x 32 with their saliency given, published settings; CPU time, which on a busy machine counts
this process's work alone. Closeness: the same kind of images, against the exact graph cut of every mask (PuzzleMix),
the best assignment of blocks (its transport), and the published alternation with a graph cut for every picture
(Co-Mixup; a problem that is hard, so there is no exact solution but for tiny ones, which are tried out). Images are
smooth noise; saliency is smooth noise to the fourth, times noise, about as peaked as a small network's gradient.
References are those of the tests (tests/reference/puzzles.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._common import run  # before torch: it sets the thread variables

# isort: split
import statistics
import time

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from augwise.mixing import CoMixup, PuzzleMix, levels
from augwise.mixing.blocks import shares, to_pixels
from augwise.mixing.joint_masks import Weights, joint_cost, joint_masks
from augwise.mixing.puzzle_mix import mask_costs
from augwise.mixing.transport import transport, transport_cost
from augwise.sample import Batch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from reference import puzzles

SIDE = 32
CUTS = {2: 48, 4: 48, 8: 24, 16: 8}  # masks compared for each number of blocks to a side
IMAGES, GROUPS = 10, 5  # of Co-Mixup's comparison


def a_batch(n: int, seed: int = 0) -> Batch:
    """n images and their saliency."""
    draw = torch.Generator().manual_seed(seed)

    def smooth(channels: int, coarse: int) -> Tensor:
        values = torch.rand(n, channels, coarse, coarse, generator=draw)
        return F.interpolate(values, (SIDE, SIDE), mode="bilinear", align_corners=False)

    images = (0.8 * smooth(3, 6) + 0.2 * torch.rand(n, 3, SIDE, SIDE, generator=draw)).mul(255).round()
    maps = smooth(1, 8)[:, 0] ** 4 * torch.rand(n, SIDE, SIDE, generator=draw)
    return Batch.of(images.to(torch.uint8), torch.arange(n), maps)


def images_per_s(function: Callable[[], Any], n: int, rounds: int = 15) -> float:
    """Images per second of CPU time, by the median of the rounds."""
    function()
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        function()
        taken.append(time.process_time() - start)
    return n / statistics.median(taken)


def measure() -> dict[str, Any]:
    """All numbers, by name."""
    batch = a_batch(128)
    results: dict[str, Any] = {}
    for name, mixer in (
        ("puzzlemix", PuzzleMix()),
        ("puzzlemix_per_batch", PuzzleMix(per_batch=True)),
        ("puzzlemix_no_transport", PuzzleMix(transport=False)),
        ("comixup", CoMixup()),
    ):
        results[f"{name}_images_per_s"] = images_per_s(lambda mixer=mixer: mixer(batch), 128)
    return results | puzzlemix_gaps() | comixup_gaps()


def puzzlemix_gaps() -> dict[str, float]:
    """Of masks: (E - E*) / (E of the better image alone - E*), averaged, and the share solved exactly; of transport:
    the share of what the best assignment gains over leaving blocks where they are."""
    results: dict[str, float] = {}
    kept = []
    for blocks, n in CUTS.items():
        one, two = a_batch(n, 1), a_batch(n, 2)
        images = [b.images.as_subclass(Tensor) for b in (one, two)]
        maps = [_maps(b) for b in (one, two)]
        share = torch.rand(n, generator=torch.Generator().manual_seed(3))
        costs = mask_costs(images[0], images[1], maps[0], maps[1], share, blocks)
        masks = levels.minimise(*costs)
        parts = [(costs.slopes[:, i], costs.down[i], costs.right[i]) for i in range(n)]
        cut = torch.from_numpy(np.stack([puzzles.cut_levels(*(t.double().numpy() for t in part)) for part in parts]))
        found, exact = levels.energy(masks, *costs), levels.energy(cut, *costs)
        alone = costs.slopes.double().sum((0, 2, 3)).clamp(max=0)
        over = (found - exact).clamp_min(0)
        results[f"puzzlemix_gap_{blocks}"] = float((over / (alone - exact).clamp_min(1e-6)).mean())
        results[f"puzzlemix_exact_{blocks}"] = float((over < 1e-6).double().mean())
        kept.append((maps[1][:12], to_pixels(masks[:12], SIDE, SIDE) > 0))
    gain, most = 0.0, 0.0
    for maps, seen in kept:
        for peak in (1, 3):  # the saliency as it is, of which hardly a block is worth moving, and a sparser one
            saliency, visible = shares(maps**peak, 8, 8), seen[:, 2::4, 2::4].float()
            stay = torch.arange(64).view(8, 8).expand(len(maps), -1, -1)
            before = transport_cost(stay, saliency, visible).sum()
            gain += float(before - transport_cost(transport(saliency, visible), saliency, visible).sum())
            for s, v in zip(saliency.double().numpy(), visible.double().numpy(), strict=True):
                most -= puzzles.plan_cost(puzzles.best_plan(s, v, 0.8), s, v, 0.8)
            most += float(before)
    return results | {"puzzlemix_transport_share_of_gain": gain / most}


def comixup_gaps() -> dict[str, float]:
    """Mean F of groups of 10 images on 4 x 4 blocks, of this solver and of the alternation with graph cuts (4 rounds),
    with the part that is not the price of diversity, and of leaving all images alone; of tiny problems, the distance of
    both from the best of all masks as share of its value. Blocks of one image each, pictures need not differ."""
    weights, size = Weights(), (4, 4)
    saliency = shares(_maps(a_batch(IMAGES * GROUPS, 4)), *size).view(GROUPS, IMAGES, 16)
    results = _compared(-saliency.mT.contiguous(), size, weights, "comixup")
    tiny = shares(_maps(a_batch(3 * 20, 5)) ** 2, 1, 3).view(20, 3, 3)
    cost = -tiny.mT.contiguous()
    every = torch.from_numpy(puzzles.every_joint(3, 3, 3)).float()
    same = torch.eye(3).expand(len(every), -1, -1)
    best = [joint_cost(every, c.expand(len(every), -1, -1), same, (1, 3), weights).min() for c in cost]
    near = _compared(cost, (1, 3), weights, "tiny")
    exact = float(torch.stack(best).mean())
    gaps = {
        f"comixup_tiny_{kind}gap": (near[f"tiny_{kind}objective"] - exact) / abs(exact) for kind in ("", "graph_cut_")
    }
    return results | gaps


def _compared(cost: Tensor, size: tuple[int, int], weights: Weights, name: str) -> dict[str, float]:
    groups, n, images = cost.shape
    pairs = torch.eye(images).expand(groups, -1, -1)
    first = torch.randint(0, images, (groups, images, n), generator=torch.Generator().manual_seed(6))
    start = F.one_hot(first, images).float()
    arrays = ([t.double().numpy() for t in part] for part in zip(cost, pairs, start, strict=True))
    cuts = np.stack([puzzles.cut_joint(c, a, z, size, *weights, iterations=4) for c, a, z in arrays])
    results = {}
    for kind, masks in (
        ("", joint_masks(cost, pairs, start, size, weights, blend=False, distinct=False)),
        ("graph_cut_", torch.from_numpy(cuts).float()),
        ("alone_", torch.eye(images)[None, :, None].expand(groups, -1, n, -1)),
    ):
        results[f"{name}_{kind}objective"] = float(joint_cost(masks, cost, pairs, size, weights).mean())
        bare = weights._replace(gamma=0.0)
        results[f"{name}_{kind}without_diversity"] = float(joint_cost(masks, cost, pairs, size, bare).mean())
    return results


def _maps(batch: Batch) -> Tensor:
    assert batch.importance is not None
    return batch.importance.as_subclass(Tensor)


if __name__ == "__main__":
    run(__doc__, measure)
