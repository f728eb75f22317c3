"""The field's sparse attacks as their papers read: one image, one pixel or entry at a time, torch's Adam and autograd.

Every attack takes an image (C, H, W), its label and the class to reach (None: any other), and returns a perturbation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from augwise.importance.attacks.base import uniform
from reference.pruning import plane


def lead(model: nn.Module, image: Tensor, label: int, target: int | None) -> Tensor:
    """By how much the wrong side leads: the largest other logit over the label's, or the target's over the others."""
    logits = model(image[None])[0]
    asked = label if target is None else target
    others = torch.stack([z for c, z in enumerate(logits) if c != asked]).max()
    return others - logits[asked] if target is None else logits[asked] - others


def slope(model: nn.Module, image: Tensor, label: int, target: int | None) -> tuple[float, Tensor]:
    """The lead and its gradient."""
    image = image.detach().requires_grad_()
    value = lead(model, image, label, target)
    return value.detach().item(), torch.autograd.grad(value, image)[0]


def clip(image: Tensor, delta: Tensor, epsilon: float = 1.0) -> Tensor:
    return (image + delta.clamp(-epsilon, epsilon)).clamp(0, 1) - image


def greedy(model, image: Tensor, label: int, target: int | None, epsilon: float, growth: int, most: float) -> Tensor:
    """Open the pixels of largest gradient until the image is fooled, then close those that it can do without."""
    pixels = [(y, x) for y in range(image.shape[1]) for x in range(image.shape[2])]
    delta, opened = torch.zeros_like(image), []
    while True:
        value, g = slope(model, image + delta, label, target)
        if value > 0 or len(opened) + growth > most * len(pixels):
            break
        closed = [p for p in pixels if p not in opened]
        opened += sorted(closed, key=lambda p: -float(g[:, p[0], p[1]].abs().sum()))[:growth]
        largest = max(float(g[:, y, x].abs().max()) for y, x in opened)
        for y, x in opened:
            delta[:, y, x] += epsilon * g[:, y, x] / largest
        delta = clip(image, delta, epsilon)
    if value <= 0:
        return delta
    changed = [p for p in pixels if delta[:, p[0], p[1]].abs().sum() > 0]
    for y, x in sorted(changed, key=lambda p: float(delta[:, p[0], p[1]].abs().sum())):
        less = delta.clone()
        less[:, y, x] = 0
        if lead(model, image + less, label, target) > 0:
            delta = less
    return delta


def jsma(model, image: Tensor, label: int, target: int | None, epsilon: float, per_step: int, most: float) -> Tensor:
    """Papernot et al.'s saliency map, entry by entry; each is moved once, as far as epsilon and the pixel allow."""
    clean = model(image[None])[0].tolist()
    reach = target if target is not None else max((z, c) for c, z in enumerate(clean) if c != label)[1]
    delta, moved = torch.zeros_like(image).flatten(), []
    while True:
        now = image + delta.view_as(image)
        if lead(model, now, label, target) > 0 or len(moved) + per_step > most * image.numel():
            return delta.view_as(image)
        jacobian = torch.autograd.functional.jacobian(lambda x: model(x[None])[0], now).flatten(1).tolist()
        to_target = jacobian[reach]
        to_others = [sum(row[i] for c, row in enumerate(jacobian) if c != reach) for i in range(image.numel())]
        left = [i for i in range(image.numel()) if i not in moved]
        worth = {i: abs(to_target[i]) * abs(to_others[i]) for i in left if to_target[i] * to_others[i] < 0}
        if worth:
            chosen = sorted(left, key=lambda i: -worth.get(i, 0.0))[:per_step]
            up = {i: to_target[i] > 0 for i in chosen}
        else:
            chosen = sorted(left, key=lambda i: -abs(to_target[i] - to_others[i]))[:per_step]
            up = {i: to_target[i] > to_others[i] for i in chosen}
        for i in chosen:
            pixel = float(image.flatten()[i])
            delta[i] = min(epsilon, 1 - pixel) if up[i] else -min(epsilon, pixel)
        moved += chosen


def sigma_zero(model, image: Tensor, label: int, target: int | None, steps: int, sigma: float = 1e-3) -> Tensor:
    """Algorithm 1 of σ-zero, with the defaults of its constants."""
    delta = torch.zeros_like(image, requires_grad=True)
    optimizer = torch.optim.Adam([delta])
    threshold, best, fewest = 0.3, torch.zeros_like(image), image.numel() + 1
    for t in range(steps):
        value = lead(model, image + delta, label, target)
        smooth = (delta**2 / (delta**2 + sigma)).mean()
        count = sum(d != 0 for d in delta.detach().flatten().tolist())
        if value > 0 and count < fewest:
            best, fewest = delta.detach().clone(), count
        (grad,) = torch.autograd.grad(torch.clamp(-value, min=0) + smooth, delta)
        delta.grad = grad / grad.abs().max()
        rate = 0.1 + 0.9 * (1 + math.cos(math.pi * t / steps)) / 2
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        threshold = min(max(threshold + (0.01 if value > 0 else -0.01) * rate, 0.0), 1.0)
        with torch.no_grad():
            delta.copy_(clip(image, delta))
            delta[delta.abs() < threshold] = 0
    return best


def cw_l0(
    model, image: Tensor, label: int, target: int | None, rounds: int, steps: int, c: float, shrink: float = 0.25
) -> Tensor:
    """The ℓ2 attack on ever fewer pixels (Carlini and Wagner, Section VI-B), c tenfold after a failure."""
    best, warm, allowed = torch.zeros_like(image), torch.zeros_like(image), torch.ones_like(image[0]).bool()
    for _ in range(rounds):
        if c > 1e4 or not allowed.any():
            break
        w = torch.atanh((2 * (image + warm) - 1) * (1 - 1e-6)).requires_grad_()
        optimizer, found, smallest = torch.optim.Adam([w], lr=0.05), None, math.inf
        for _ in range(steps):
            delta = ((w.tanh() + 1) / 2 - image) * allowed
            value, size = lead(model, image + delta, label, target), delta.square().sum()
            if value > 0 and size < smallest:
                smallest, found = size.detach().item(), delta.detach().clone()
            optimizer.zero_grad()
            (size + c * F.relu(-value)).backward()
            optimizer.step()
        if found is None:
            c *= 10
            continue
        best, (_, g) = found, slope(model, image + found, label, target)
        use = {(y, x): float((g * found)[:, y, x].abs().sum()) for y, x in allowed.nonzero().tolist()}
        use = {p: value for p, value in use.items() if found[:, p[0], p[1]].any()}
        kept = sorted(use, key=lambda p: use[p])[math.ceil(shrink * len(use)) :]
        allowed = torch.zeros_like(allowed)
        for y, x in kept:
            allowed[y, x] = True
        warm = found * allowed
    return best


def pgd_l0(
    model, image: Tensor, label: int, target: int | None, seed: int, epsilon: float, steps: int, searches: int
) -> Tensor:
    """Projected gradient ascent with k pixels, and the smallest k that fools by bisection of its logarithm."""

    def nearest(delta: Tensor, k: int) -> Tensor:
        clipped = clip(image, delta, epsilon)
        worth = (delta**2 - (delta - clipped) ** 2).sum(0).flatten()
        keep = sorted(range(len(worth)), key=lambda p: -float(worth[p]))[:k]
        mask = torch.zeros_like(worth)
        mask[keep] = 1
        return clipped * mask.view_as(image[0])

    def attacked(k: int, search: int) -> tuple[Tensor, bool]:
        noise = uniform([seed], image.shape, f"pgd-l0 {search}", image)[0]
        delta = nearest(epsilon * (2 * noise - 1), k)
        for _ in range(steps):
            value, g = slope(model, image + delta, label, target)
            if value > 0:
                break
            delta = nearest(delta + 2 * epsilon * g / g.abs().mean(), k)
        return delta, bool(lead(model, image + delta, label, target) > 0)

    pixels, best = image[0].numel(), torch.zeros_like(image)
    failed, fooled = 0, pixels + 1  # the most that failed, the fewest that fooled
    for search in range(searches + 1):
        k = pixels if search == 0 else math.floor(math.sqrt(max(failed, 1) * fooled))
        k = max(min(k, fooled - 1), failed + 1)
        if not failed < k < fooled:
            break
        delta, good = attacked(k, search)
        if good:
            best, fooled = delta, max(1, int((delta != 0).any(0).sum()))
        else:
            failed = k
    return best


def sparse_rs(
    model, image: Tensor, label: int, target: int | None, seed: int, queries: int, first: int, searches: int
) -> Tensor:
    """Random search over which k pixels to paint and in which corner of the colour cube, for several k."""
    channels, pixels = len(image), image[0].numel()

    def drawn(what: str, search: int, query: int, *shape: int) -> Tensor:
        return uniform([seed], torch.Size(shape), f"sparse-rs {search} {what} {query}", image)[0]

    def painted(colours: dict[int, Tensor]) -> Tensor:
        shown = image.flatten(1).clone()
        for p, colour in colours.items():
            shown[:, p] = colour
        return shown.view_as(image)

    def searched(k: int, search: int) -> tuple[Tensor, bool]:
        def draws(query: int) -> tuple[list[int], Tensor]:
            order = drawn("order", search, query, pixels).tolist()
            colour = drawn("colour", search, query, channels, pixels)
            return sorted(range(pixels), key=lambda p: order[p]), (colour < 0.5).to(image.dtype)

        order, colour = draws(0)
        now = {p: colour[:, p] for p in order[:k]}
        value = float(lead(model, painted(now), label, target))
        for query in range(1, queries):
            if value > 0:
                break
            share = 0.3
            for at in (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8):
                share = share / 2 if query / queries > at else share
            order, colour = draws(query)
            out = [p for p in order if p in now][: max(1, round(k * share))]
            into = [p for p in order if p not in now][: len(out)]
            if len(into) < len(out):  # nowhere to go: new colours where they are
                into += out
            trial = {p: c for p, c in now.items() if p not in out} | {p: colour[:, p] for p in into}
            found = float(lead(model, painted(trial), label, target))
            if found >= value:
                now, value = trial, found
        return painted(now) - image, value > 0

    best, failed, fooled, k = torch.zeros_like(image), 0, pixels + 1, min(first, pixels)
    for search in range(searches):
        if not failed < k < fooled:
            break
        delta, good = searched(k, search)
        best = delta if good else best
        failed, fooled = (failed, k) if good else (k, fooled)
        k = min((failed + fooled) // 2, 2 * max(failed, first // 2))
    return best


def sapf(model, image: Tensor, label: int, target: int | None, rounds: int, turns: int, steps: int) -> Tensor:
    """Magnitudes and a binary mask in turns; the mask by gradients of the augmented Lagrangian of ℓ2-box ADMM."""
    pixels = image[0].numel()

    def scaled(g: Tensor) -> Tensor:
        return g / g.abs().max().clamp_min(1e-12)

    def loss(delta: Tensor, lam: float) -> Tensor:
        return (delta**2).sum() + lam * F.relu(0.1 - lead(model, image + delta, label, target))

    def attempt(k: int, lam: float) -> Tensor | None:
        e, mask = torch.zeros_like(image), torch.ones_like(image[0])
        for _ in range(turns):
            for _ in range(steps):
                e = e.detach().requires_grad_()
                e = clip(image, e - 0.02 * scaled(torch.autograd.grad(loss(e * mask, lam), e)[0])).detach()
            box, sphere, total, rho = torch.zeros_like(mask), torch.zeros_like(mask), 0.0, 0.05
            for _ in range(steps):
                in_box = (mask + box / rho).clamp(0, 1)
                off = mask + sphere / rho - 0.5
                on_sphere = 0.5 + off / off.norm() * math.sqrt(pixels) / 2
                mask = mask.detach().requires_grad_()
                excess = mask.sum() - k
                lagrangian = loss(e * mask, lam) + (box * (mask - in_box)).sum() + (sphere * (mask - on_sphere)).sum()
                lagrangian = lagrangian + total * excess + rho / 2 * excess**2 / pixels
                lagrangian = lagrangian + rho / 2 * ((mask - in_box) ** 2 + (mask - on_sphere) ** 2).sum()
                mask = (mask - 0.1 * scaled(torch.autograd.grad(lagrangian, mask)[0])).detach()
                box, sphere = box + rho * (mask - in_box), sphere + rho * (mask - on_sphere)
                total += rho * float(mask.sum() - k) / pixels
                rho = min(1.3 * rho, 20.0)
            mask = mask.clamp(0, 1)
        weight = (mask * (e**2).sum(0).sqrt()).flatten()
        hard = torch.zeros_like(weight)
        hard[sorted(range(pixels), key=lambda p: -float(weight[p]))[:k]] = 1
        hard = hard.view_as(mask)
        for _ in range(steps + 1):
            e = (clip(image, e) * hard).detach().requires_grad_()
            if lead(model, image + e, label, target) > 0:
                return e.detach()
            e = e - 0.02 * scaled(torch.autograd.grad(loss(e, lam), e)[0] * hard)
        return None

    best, failed, fooled, k, lam = torch.zeros_like(image), 0, pixels + 1, max(1, pixels // 4), 10.0
    for _ in range(rounds):
        if not failed < k < fooled:
            break
        found = attempt(k, lam)
        if found is not None:
            best, fooled = found, k
        elif lam < 1000:
            lam *= 10
            continue
        else:
            failed, lam = k, 10.0
        k = (failed + fooled) // 2
    return best


def sparsefool(model, image: Tensor, label: int, epsilon: float, steps: int, lam: float, overshoot: float) -> Tensor:
    """Algorithm 2: to DeepFool's boundary point, then across the plane there, with as few entries as may be."""

    def towards(x: Tensor, c: int) -> tuple[float, Tensor]:
        x = x.detach().requires_grad_()
        logits = model(x[None])[0]
        ahead = logits[c] - logits[label]
        return ahead.detach().item(), torch.autograd.grad(ahead, x)[0]

    def deepfool(x: Tensor) -> Tensor:
        for _ in range(20):
            logits = model(x[None])[0].tolist()
            others = [c for c in range(len(logits)) if c != label]
            if max(logits[c] for c in others) > logits[label]:
                break
            found = [(abs(f) / float(g.norm()), c, g) for c in others for f, g in [towards(x, c)]]
            distance, _, g = min(found, key=lambda each: each[0])
            x = (x + (1 + overshoot) * (distance + 1e-4) * g / g.norm()).clamp(0, 1)
        return x

    reached = torch.zeros_like(image)
    for _ in range(steps):
        tried = clip(image, (1 + overshoot) * reached, epsilon)
        if lead(model, image + tried, label, None) > 0:
            break
        boundary = deepfool(image + reached)
        _, normal = slope(model, boundary, label, None)
        normal = normal / normal.norm()
        gap = float((normal * lam * (boundary - image - reached)).sum())
        low, high = (-image).clamp_min(-epsilon), (1 - image).clamp_max(epsilon)
        reached = reached + plane(normal, gap, low - reached, high - reached)
    return clip(image, (1 + overshoot) * reached, epsilon)
