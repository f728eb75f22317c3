"""LP-A3: what an augmented batch costs in plain training steps, how far it goes, and whether its margin holds.

    python -m benchmarks.lpa3 --json lpa3.json

A plain training step is forward, cross-entropy, backward and SGD with momentum, in training mode, on the same batch:
ResNet-18 with CIFAR stem, 16 images of 32 px, one thread; keys that end in _small_cnn are of the small CNN of quick
runs, 128 images. All are measured in turn, so that whatever else the machine does falls on all alike; medians.

cost_in_steps: LP-A3 as it comes, five iterations and its back-off; fast_cost_in_steps: ``form="tangent"``;
released_cost_in_steps: five iterations as the released programs make them (training mode, a finite difference per
iteration, gradients of the parameters as well, no back-off), written anew here. training_cost, fast_training_cost: a
whole training step on the batch and on its augmented images, over the plain one; _selected: with the least consistent
30 % of the batch augmented (Algorithm 1), scores included.

margin_met_share: share of images with log p_y(x') >= log p_y(x) - margin in a forward pass of its own (1e-5 allowed for
float32), at margin 0.02; fast_, and released_ for the steps as released. distance, fast_distance, released_distance:
mean perceptual distance; released_distance_within: mean with 0 for images that leave the margin. kept_share: images
that are predicted as their label still. Of a trained classifier, that of ``--run`` on images of ``--data``, or a small
CNN trained on digits for a few seconds; at_MARGIN_* at other margins.
"""

from __future__ import annotations

import argparse
from typing import Any

from . import _common  # sets the thread variables, so before torch

import torch  # isort: skip
from torch import Tensor, nn  # isort: skip
from torch.nn import functional as F  # isort: skip

import augwise as aw
from augwise import models
from augwise.adversarial.perceptual import distance

from ._classifier import FLAGS as CLASSIFIER
from ._classifier import classifier

MARGIN, MARGINS = 0.02, (0.002, 0.1, 0.5)
RATIO = 0.3
ROUNDING = 1e-5


def as_released(model: nn.Module, see: aw.PerceptualDistance, images: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Five iterations with the released programs' passes and schedules; pixels in [0, 1], so lengths are a quarter."""
    with torch.no_grad():
        clean = see.look(images)
        value = _value(clean.logits, labels)
    delta = (torch.rand_like(images) * 2 - 1) * 0.0025
    delta = (images + delta).clamp(0, 1) - images
    for i in range(5):
        delta = delta.detach().requires_grad_()
        seen = see.look(images + delta)
        now = _value(seen.logits, labels)
        weight = 0.1 ** (1 - i / 5)
        loss = (weight * (value - now - margin).relu() - distance(seen.features, clean.features)).mean()
        loss.backward()
        assert delta.grad is not None
        gradient = delta.grad / (delta.grad.flatten(1).norm(dim=1) + 1e-8).view(-1, 1, 1, 1)
        with torch.no_grad():
            there = _value(see.look(images + delta - 0.025 * gradient).logits, labels)
            slope = (now - there).abs() / 0.025
            delta = delta - gradient * (margin * 0.1 ** (i / 5) / (slope + 1e-4)).view(-1, 1, 1, 1)
            delta = (images + delta).clamp(0, 1) - images
    model.zero_grad(set_to_none=True)
    return images + delta.detach()


def _value(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.log_softmax(1).gather(1, labels[:, None])[:, 0]


def costs(name: str, batch: int, suffix: str, device: torch.device) -> dict[str, float]:
    """Seconds of everything over those of a plain step."""
    torch.manual_seed(0)
    model = models.build(name, 10).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
    images, labels = torch.rand(batch, 3, 32, 32, device=device), torch.arange(batch, device=device) % 10
    rows = torch.arange(batch, device=device)
    slow, fast, see = aw.LPA3(model), aw.LPA3(model, form="tangent"), aw.PerceptualDistance(model)
    scores = aw.TimeConsistency(batch, 10).to(device)

    def step(attack: Any = None, ratio: float = 1.0) -> None:
        logits = model(images)
        loss = F.cross_entropy(logits, labels)
        if attack is not None:
            chosen = scores.lowest(rows, ratio)
            scores.update(rows, logits.detach(), labels)
            loss = loss + F.cross_entropy(model(attack(images[chosen], labels[chosen])), labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    took = _common.medians_ms(
        {
            "step": step,
            "cost": lambda: slow(images, labels),
            "fast_cost": lambda: fast(images, labels),
            "released_cost": lambda: as_released(model, see, images, labels, MARGIN),
            "training_cost": lambda: step(slow),
            "fast_training_cost": lambda: step(fast),
            "training_cost_selected": lambda: step(slow, RATIO),
            "fast_training_cost_selected": lambda: step(fast, RATIO),
        },
        budget=8,
    )
    plain = took.pop("step")
    costs = {f"{key}_in_steps{suffix}": ms / plain for key, ms in took.items()}
    return {**costs, f"plain_step_ms{suffix}": plain, f"batch{suffix}": batch}


def reach(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """How far each goes, and how many images keep the margin."""
    name, model, images, labels = classifier(options, device)
    see = aw.PerceptualDistance(model)
    results: dict[str, Any] = {"classifier": name, "images": len(images), "margin": MARGIN}
    with torch.no_grad():
        clean = see.look(images)
    right = clean.logits.argmax(1) == labels
    for margin in (MARGIN, *MARGINS):
        at = "" if margin == MARGIN else f"at_{margin:g}_"
        generator = torch.Generator().manual_seed(0)
        made = {
            "": aw.LPA3(model, margin=margin)(images, labels, generator),
            "fast_": aw.LPA3(model, margin=margin, form="tangent")(images, labels, generator),
            "released_": as_released(model, see, images, labels, margin),
        }
        for which, farther in made.items():
            with torch.no_grad():
                seen = see.look(farther)
            gone = distance(seen.features, clean.features)
            met = _value(clean.logits, labels) - _value(seen.logits, labels) <= margin + ROUNDING
            results[f"{at}{which}margin_met_share"] = met.float().mean().item()
            results[f"{at}{which}distance"] = gone.mean().item()
            results[f"{at}{which}kept_share"] = (seen.logits.argmax(1) == labels)[right].float().mean().item()
            if which == "released_":
                results[f"{at}{which}distance_within"] = (gone * met).mean().item()
    return results


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All numbers."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {
        "device": str(device),
        **costs("resnet18", 16, "", device),
        **costs("small_cnn", 128, "_small_cnn", device),
        **reach(options, device),
    }


FLAGS = {**CLASSIFIER, "--limit": {"type": int, "default": 256, "help": "images of the trained part (default 256)"}}

if __name__ == "__main__":
    _common.run(__doc__, measure, FLAGS)
