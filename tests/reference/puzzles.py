"""Slow and exact: the objectives of PuzzleMix and Co-Mixup in plain loops, solved by trying everything, by graph cuts
and by an assignment."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

Array = NDArray[np.float64]
Levels = NDArray[np.int64]


def pairs_of(height: int, width: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Every two blocks that meet, the upper or left one first."""
    down = [((y, x), (y + 1, x)) for y in range(height - 1) for x in range(width)]
    return down + [((y, x), (y, x + 1)) for y in range(height) for x in range(width - 1)]


def puzzle_cost(
    base: Array, partner: Array, base_map: Array, partner_map: Array, share: float, z: Array,
    beta: float, gamma: float, eta: float, n_labels: int, border: int,
) -> float:  # fmt: skip
    """PuzzleMix's E of one mask z (h, w) whose blocks divide the images (C, H, W) in [0, 1] evenly. Between 0 and 1 the
    seams' part follows z and (z_i - z_j)² through its values at 0 and 1, as released."""
    h, w = z.shape
    high, wide = base.shape[1] // h, base.shape[2] // w
    n, steps = h * w, n_labels - 1

    def saliency(values: Array, y: int, x: int) -> float:
        return float(values[y * high : (y + 1) * high, x * wide : (x + 1) * wide].sum() / values.sum())

    def seam(first: Array, second: Array, one: tuple[int, int], two: tuple[int, int]) -> float:
        """Mean |difference| of the colours of cells on either side of the edge between two blocks."""
        if one[1] != two[1]:  # beside one another: turned, so that they lie below
            first, second = first.swapaxes(1, 2), second.swapaxes(1, 2)
            one, two, tall, long = (one[1], one[0]), (two[1], two[0]), wide, high
        else:
            tall, long = high, wide
        deep, along = tall // max(1, tall // border), long // max(1, long // border)
        edge, found = two[0] * tall, []
        for start in range(one[1] * long, (one[1] + 1) * long, along):
            above = first[:, edge - deep : edge, start : start + along].mean((1, 2))
            below = second[:, edge : edge + deep, start : start + along].mean((1, 2))
            found.append(np.abs(above - below).mean())
        return float(np.mean(found))

    total = 0.0
    for y in range(h):
        for x in range(w):
            k = round(z[y, x] * steps)
            p = math.comb(steps, k) * (1 - share) ** k * share ** (steps - k)
            total += z[y, x] * saliency(base_map, y, x) + (1 - z[y, x]) * saliency(partner_map, y, x)
            total -= eta / n * math.log(p)
    scale = beta / (16 * math.sqrt(n))
    sides = (base, partner)
    for one, two in pairs_of(h, w):
        d = [[seam(sides[s], sides[t], one, two) for t in (0, 1)] for s in (0, 1)]
        linear = (
            z[one] * (d[1][0] + d[1][1] - d[0][1] - d[0][0]) / 2 + z[two] * (d[0][1] + d[1][1] - d[1][0] - d[0][0]) / 2
        )
        bent = (z[one] - z[two]) ** 2 * (d[1][0] + d[0][1] - d[1][1] - d[0][0]) / 2
        total += scale * (z[one] - z[two]) ** 2 + scale * gamma * (linear + bent)
    return total


def levels_cost(levels: Levels, slopes: Array, down: Array, right: Array) -> float:
    """E of `levels.minimise` for one grid: slopes (M, h, w), down (h - 1, w), right (h, w - 1)."""
    steps, h, w = slopes.shape
    total = sum(slopes[: levels[y, x], y, x].sum() for y in range(h) for x in range(w))
    for one, two in pairs_of(h, w):
        weight = down[one] if one[1] == two[1] else right[one]
        total += weight * ((levels[one] - levels[two]) / steps) ** 2
    return float(total)


def every_mask(slopes: Array, down: Array, right: Array) -> Levels:
    """The best levels, by trying all."""
    steps, h, w = slopes.shape
    tried = (np.array(k).reshape(h, w) for k in itertools.product(range(steps + 1), repeat=h * w))
    return min(tried, key=lambda levels: levels_cost(levels, slopes, down, right))


def cut_levels(slopes: Array, down: Array, right: Array) -> Levels:
    """The best levels, by one graph cut: a node for every level above 0 of every site (Ishikawa, PAMI 2003)."""
    steps, h, w = slopes.shape
    edges: list[tuple[int, int, float]] = []

    def node(level: int, place: tuple[int, int]) -> int:
        return 2 + (level * h + place[0]) * w + place[1]

    forbidden = np.abs(slopes).sum() + down.sum() + right.sum()
    for level in range(steps):
        for place in itertools.product(range(h), range(w)):
            cost = slopes[(level, *place)]
            edges.append((node(level, place), 1, cost) if cost > 0 else (0, node(level, place), -cost))
            if level:  # who is above a level is above the one below it
                edges.append((node(level, place), node(level - 1, place), forbidden))
    for one, two in pairs_of(h, w):
        weight = (down[one] if one[1] == two[1] else right[one]) / steps**2
        for a, b in itertools.product(range(steps), repeat=2):
            bend = weight * ((1 if a == b else 2) if a >= b else 0)  # of (a - b)²: its second difference
            edges += [(node(a, one), node(b, two), bend), (node(a, two), node(b, one), bend)]
    return _cut(edges, 2 + steps * h * w).reshape(steps, h, w).sum(0)


def _cut(edges: list[tuple[int, int, float]], nodes: int) -> NDArray[np.bool_]:
    """Which nodes from 2 on stay with node 0 when it is cut off from node 1 at the least cost."""
    edges = [e for e in edges if e[2] > 0]
    if not edges:
        return np.zeros(nodes - 2, bool)
    scale = 5e8 / sum(e[2] for e in edges)
    whole = [(a, b, round(c * scale)) for a, b, c in edges]
    rows, columns, capacity = (np.array(part) for part in zip(*whole, strict=True))
    graph = csr_array((capacity.astype(np.int32), (rows, columns)), shape=(nodes, nodes))
    graph.sum_duplicates()
    left = csr_array(graph - maximum_flow(graph.astype(np.int32), 0, 1).flow)
    reached, waiting = np.zeros(nodes, bool), [0]
    reached[0] = True
    while waiting:
        at = waiting.pop()
        for i in range(left.indptr[at], left.indptr[at + 1]):
            if left.data[i] > 0 and not reached[left.indices[i]]:
                reached[left.indices[i]] = True
                waiting.append(int(left.indices[i]))
    return reached[2:]


def plan_cost(plan: Levels, saliency: Array, seen: Array, cost: float) -> float:
    """T of `transport`: plan (h, w) says which block, in reading order, lies at each place."""
    h, w = plan.shape
    total = 0.0
    for y, x in itertools.product(range(h), range(w)):
        a, b = divmod(int(plan[y, x]), w)
        total += seen[y, x] * (cost * ((a - y) ** 2 + (b - x) ** 2) / max(1, max(h, w) - 1) ** 2 - saliency[a, b])
    return total


def best_plan(saliency: Array, seen: Array, cost: float) -> Levels:
    """The plan of least T, by an assignment."""
    h, w = saliency.shape
    y, x = np.divmod(np.arange(h * w), w)
    way = ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2) / max(1, max(h, w) - 1) ** 2
    price = seen.flatten()[:, None] * (cost * way - saliency.flatten())
    return linear_sum_assignment(price)[1].reshape(h, w)


def joint_cost(
    z: Array, cost: Array, pairs: Array, size: tuple[int, int], beta: float, gamma: float, tau: float
) -> float:
    """Co-Mixup's F: z (J, n, K), cost (n, K), pairs (K, K)."""
    pictures, n, images = z.shape
    total = float((z * cost).sum())
    for j in range(pictures):
        for one, two in pairs_of(*size):
            s, t = one[0] * size[1] + one[1], two[0] * size[1] + two[1]
            total += beta / (2 * n) * ((z[j, s] - z[j, t]) ** 2).sum()
        for k in range(images):
            others = sum(pairs[k, m] * z[i, :, m].sum() for i in range(pictures) if i != j for m in range(images))
            if others > tau * n:
                total += gamma / n * z[j, :, k].sum() * others
    return total


def pair_weights(maps: Array, omega: float) -> Array:
    """Co-Mixup's A of the images of one group: maps (K, H, W)."""
    images, height, width = maps.shape
    h, w = max(1, height // 4), max(1, width // 4)
    places = []
    for values in maps:
        tried = itertools.product(range(height - h + 1), range(width - w + 1))
        places.append(max(tried, key=lambda p: values[p[0] : p[0] + h, p[1] : p[1] + w].sum()))
    apart = np.array([[abs(a[0] - b[0]) + abs(a[1] - b[1]) for b in places] for a in places], float)
    return (1 - omega) * np.eye(images) + omega * apart * images / max(apart.sum(), 1)


def every_joint(images: int, pictures: int, n: int) -> Array:
    """All masks in which every block shows one image, (images ** (pictures n), pictures, n, images)."""
    every = np.array(list(itertools.product(range(images), repeat=pictures * n)))
    return np.eye(images)[every].reshape(-1, pictures, n, images)


def cut_joint(
    cost: Array,
    pairs: Array,
    start: Array,
    size: tuple[int, int],
    beta: float,
    gamma: float,
    tau: float,
    iterations: int,
) -> Array:
    """Co-Mixup's alternation with a graph cut for every picture (α-expansions), blocks of one image each."""
    z, (n, images) = start.copy(), cost.shape
    for _ in range(iterations):
        for j in range(len(z)):
            others = pairs @ (z.sum((0, 1)) - z[j].sum(0))
            now = cost + 2 * gamma / n * np.where(others > tau * n, others, 0)
            z[j] = np.eye(images)[_expanded(now, size, beta / n)]
    return z


def _expanded(cost: Array, size: tuple[int, int], beta: float, cycles: int = 3) -> Levels:
    """Labels (n,) of small Σ cost + β Σ [labels differ], by expansions of one label after the other."""
    n, images = cost.shape
    meet = [(a[0] * size[1] + a[1], b[0] * size[1] + b[1]) for a, b in pairs_of(*size)]
    every = np.arange(n)

    def price(labels: Levels) -> float:
        return float(cost[every, labels].sum() + beta * sum(labels[a] != labels[b] for a, b in meet))

    labels = cost.argmin(1)
    for _ in range(cycles):
        before = labels
        for label in range(images):
            switch = cost[:, label] - cost[every, labels]
            edges = []
            for a, b in meet:
                apart, first, second = (
                    beta * bool(x) for x in (labels[a] != labels[b], labels[a] != label, labels[b] != label)
                )
                switch[a] += second - apart
                switch[b] -= second
                edges.append((2 + b, 2 + a, first + second - apart))  # b switches, a keeps its label
            edges += [(2 + s, 1, c) if c > 0 else (0, 2 + s, -c) for s, c in enumerate(switch)]
            moved = np.where(_cut(edges, 2 + n), label, labels)
            labels = moved if price(moved) < price(labels) - 1e-9 else labels
        if (labels == before).all():
            break
    return labels
