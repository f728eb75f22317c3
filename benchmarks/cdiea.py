"""CDIEA: what a step costs beside the classifier's own passes, and beside one image at a time.

step_ratio: one CDIEA step of a batch over a bare forward and backward pass to the input of the same frozen ResNet-18,
16 images of 32 px. Both are measured in turn within one attack of 100 steps, so whatever else the machine does falls on
both; the median of each is taken. The history of the encoders grows with the steps: step_ratio_last_tenth is the worst.

speedup_vs_per_image: the same 100 steps for one image after the other, each with an explicit fully connected encoder,
autograd throughout and torch.optim.SGD (tests/reference/sparse.py), per image. Same classifier, same process.

floor_share: the least a step can take, the bare passes, over what it takes, all 100 steps together. Keys that end in
_small_cnn are of the small CNN of quick runs, 128 images. Weights are random: the time does not depend on them.

history_bytes, history_bytes_compact: what the encoders keep per image of 32 px after 100 steps, exactly and in 8 and 16
bits; encoder_bytes: the first weights, once for all. process_before_bytes, process_peak_bytes: of the whole process,
before the first and after the last measurement (on a GPU: what torch has taken of it at most).

continuous_*: 100 steps for each image in fixed batches (continuous_static_s, the mean of a run before and one after)
against batches in which converged images make room (continuous_s): _speedup is the ratio of the seconds, _steps the
mean steps of an image, _steps_saved their share, _images_per_s the pace. How far the maps agree: success and key
points of both, and overlap, the mean intersection over union of the key points of images on which both succeed;
overlap_seed is that of the static attack with other first weights of the encoder, which bounds what can be asked. The
classifier is that of ``--run`` on images of ``--data``, or else a small CNN trained on digits for a few seconds.

*_unet_64, *_unet_224: a step with a U-Net per image, ResNet-18 on 4 images of 64 px and MobileNetV3-Small on 4 images
of 224 px.

compiled_speedup_small_cnn (only with ``--compile``, which takes a minute): the bare passes over the same by
torch.compile.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import statistics
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import _common  # sets the thread variables, so before torch

import torch  # isort: skip
from torch import Tensor, nn  # isort: skip
from torch.nn import functional as F  # isort: skip

from augwise import models
from augwise.importance import encoders, sparse
from augwise.importance.cdiea import CDIEA
from augwise.importance.continuous import attack_stream
from augwise.importance.sparse import Recipe, SparseAttack

from ._classifier import FLAGS as CLASSIFIER
from ._classifier import classifier

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from reference.sparse import cdiea as per_image_cdiea

SIZE, CLASSES, STEPS = 32, 10, 100


@dataclass(frozen=True)
class Timed(CDIEA):
    """CDIEA that, after each of its steps, runs the bare passes on the same batch and notes the seconds of both."""

    model: nn.Module = field(default_factory=nn.Identity)
    images: Tensor = field(default_factory=lambda: torch.empty(0))
    begins: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    def next_alpha(self, step: int, alpha: Tensor, mask: Tensor) -> Tensor:
        alpha = super().next_alpha(step, alpha, mask)
        end = now()
        if self.begins:  # the first step has no beginning and is left out
            self.taken.append(end - self.begins[-1])
        bare_pass(self.model, self.images)
        self.begins.append(now())
        self.bare.append(self.begins[-1] - end)
        return alpha


def now() -> float:
    """Seconds, after all work on the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def bare_pass(model: nn.Module, images: Tensor) -> None:
    """Forward and backward pass to the input."""
    with torch.enable_grad():
        inputs = images.detach().requires_grad_()
        logits = model(inputs)
        loss = F.cross_entropy(logits, torch.zeros_like(logits[:, 0], dtype=torch.int64), reduction="sum")
    torch.autograd.grad(loss, inputs)


def batched(model: nn.Module, images: Tensor, **settings: Any) -> tuple[list[float], list[float]]:
    """Seconds of each step from the second on, and of each bare pass, in one attack on the batch."""
    method = Timed(model=model, images=images, **settings)
    sparse.attack(model, images, torch.zeros(len(images), dtype=torch.int64, device=images.device), method)
    return method.taken, method.bare


def one_by_one(model: nn.Module, images: Tensor) -> float:
    """Median seconds of a whole attack on one image with a layer of its own."""
    weight, bias = encoders.initial_linear(3, SIZE, SIZE, 0, images.dtype, images.device)
    taken = []
    for image in images:
        begin = now()
        per_image_cdiea(model, image, 1, weight, bias, steps=STEPS)
        taken.append(now() - begin)
    return statistics.median(taken)


def peak_bytes() -> int:
    """What the process has taken at most so far; on a GPU, of that."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def steps(name: str, size: int, batch: int, suffix: str, device: torch.device, **settings: Any) -> dict[str, Any]:
    """One attack on random images, step by step."""
    torch.manual_seed(0)
    model = models.build(name, CLASSES).eval().requires_grad_(False).to(device)
    images = torch.rand(batch, 3, size, size).to(device)
    taken, bare = batched(model, images, **settings)
    step, passes = statistics.median(taken), statistics.median(bare)
    tenth = max(1, len(taken) // 10)
    results = {
        f"step_ratio{suffix}": step / passes,
        f"step_ratio{suffix}_last_tenth": statistics.median(taken[-tenth:]) / statistics.median(bare[-tenth:]),
        f"floor_share{suffix}": sum(bare[1:]) / sum(taken),
        f"step_ms{suffix}": 1000 * step,
        f"bare_ms{suffix}": 1000 * passes,
        f"images_per_s{suffix}": batch / (step * STEPS),
        f"batch{suffix}": batch,
    }
    if size == SIZE:
        results[f"speedup_vs_per_image{suffix}"] = one_by_one(model, images[:3]) / (step * STEPS / batch)
    return results


def memory() -> dict[str, int]:
    """Bytes that the encoders take, per image and once."""
    linear = encoders.LowRankLinear
    history = {kind: linear.bytes_per_image(3, SIZE, SIZE, STEPS, kind, torch.float32) for kind in ("full", "compact")}
    shared = sum(part.nbytes for part in encoders.initial_linear(3, SIZE, SIZE, 0, torch.float32, torch.device("cpu")))
    return {
        "history_bytes": history["full"],
        "history_bytes_compact": history["compact"],
        "encoder_bytes": shared,
    }


def static(model: nn.Module, batches: list[Any], method: Recipe) -> tuple[float, SparseAttack]:
    """Seconds, and what was found, with all steps for every image."""
    begin = now()
    parts = [sparse.attack(model, images, labels, method, seeds) for images, labels, seeds in batches]
    return now() - begin, SparseAttack(*(torch.cat(values) for values in zip(*parts, strict=True)))


def overlap(one: SparseAttack, other: SparseAttack) -> float:
    """Mean intersection over union of the key points, of images on which both attacks succeed."""
    both = one.success & other.success
    a, b = one.mask[both], other.mask[both]
    return ((a & b).sum((1, 2)) / (a | b).sum((1, 2)).clamp_min(1)).mean().item()


def continuous(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """What continuous batching saves, and how far its maps agree with the static ones."""
    name, model, images, labels = classifier(options, device)
    method = CDIEA(steps=STEPS) if options.run is not None else CDIEA(steps=STEPS, epsilon=32 / 255)
    batches = [
        (images[at : at + options.slots], labels[at : at + options.slots], [0] * len(images[at : at + options.slots]))
        for at in range(0, len(images), options.slots)
    ]
    sparse.attack(model, *batches[0][:2], replace(method, steps=3))  # the first call of all pays for set-up
    seconds, fixed = static(model, batches, method)
    begin = now()
    left = list(attack_stream(model, batches, method, options.slots))
    taken = now() - begin
    order = torch.tensor([index for part in left for index in part.indices]).argsort().to(device)
    found = SparseAttack(*(torch.cat(values)[order] for values in zip(*(part.found for part in left), strict=True)))
    steps_made = statistics.mean(count for part in left for count in part.steps)
    seconds_after, other = static(model, batches, replace(method, encoder_seed=1))
    seconds = (seconds + seconds_after) / 2
    return {
        "continuous_classifier": name,
        "continuous_images": len(images),
        "continuous_slots": options.slots,
        "continuous_static_s": seconds,
        "continuous_s": taken,
        "continuous_speedup": seconds / taken,
        "continuous_steps": steps_made,
        "continuous_steps_saved": 1 - steps_made / STEPS,
        "continuous_images_per_s": len(images) / taken,
        "continuous_success_static": fixed.success.float().mean().item(),
        "continuous_success": found.success.float().mean().item(),
        "continuous_key_points_static": fixed.mask[fixed.success].sum((1, 2)).float().mean().item(),
        "continuous_key_points": found.mask[found.success].sum((1, 2)).float().mean().item(),
        "continuous_overlap": overlap(found, fixed),
        "continuous_overlap_seed": overlap(other, fixed),
    }


def compiled(device: torch.device) -> dict[str, float]:
    """The bare passes of the small CNN, plain and compiled, in turn."""
    model = models.build("small_cnn", CLASSES).eval().requires_grad_(False).to(device)
    images, fast = torch.rand(128, 3, SIZE, SIZE, device=device), torch.compile(model, dynamic=False)
    ms = _common.medians_ms({"plain": lambda: bare_pass(model, images), "fast": lambda: bare_pass(fast, images)})
    return {"compiled_speedup_small_cnn": ms["plain"] / ms["fast"]}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All numbers."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    results: dict[str, Any] = {"device": str(device), "steps": STEPS, "image_size": SIZE}
    results["process_before_bytes"] = peak_bytes()
    results |= steps("resnet18", SIZE, 16, "", device, steps=STEPS)
    results |= steps("small_cnn", SIZE, 128, "_small_cnn", device, steps=STEPS)
    results |= memory() | {"process_peak_bytes": peak_bytes()}
    results |= continuous(options, device)
    if any(field.name == "encoder_kind" for field in dataclasses.fields(CDIEA)):
        unet = {"steps": 8, "encoder_kind": "unet"}
        for name, size in (("resnet18", 64), ("torchvision:mobilenet_v3_small", 224)):
            results |= steps(name, size, 4, f"_unet_{size}", device, **unet)
    if options.compile:
        results |= compiled(device)
    return results


FLAGS = {
    **CLASSIFIER,
    "--limit": {"type": int, "default": 256, "help": "images of continuous_* (default 256)"},
    "--slots": {"type": int, "default": 128, "help": "images attacked at a time in continuous_* (default 128)"},
    "--compile": {"action": "store_true", "help": "also measure torch.compile"},
}

if __name__ == "__main__":
    _common.run(__doc__, measure, FLAGS)
