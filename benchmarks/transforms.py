"""Images per second of every method, plain and guarded, beside torchvision, Kornia, timm and albumentations.

    python -m benchmarks.transforms --json transforms.json

``batch``: a whole batch on the device, 128 uint8 images of 32 px or 32 of 224 px, every image with draws of its own
(torchvision's mixers: one draw per batch). ``sample``: one image after the other, as one worker of a loader does it, in
the form that each library wants (tensor, PIL image, array). One thread. Peers that are not installed are left out.

``batched_trivial_augment_SIDE_ms`` and ``torchvision_trivial_augment_loop_SIDE_ms`` are the same batch of uint8 images
through our TrivialAugment and, image by image, through torchvision's; ``..._128`` at 224 px as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ._common import medians_ms, run, version  # before torch: it sets the thread variables

# isort: split
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

import augwise as aw
from augwise import catalogue

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
BATCH = {32: 128, 224: 32}
SAMPLES = {32: 64, 224: 16}
Calls = dict[str, Callable[[], Any]]


def data(side: int, n: int, device: torch.device = DEVICE) -> aw.Batch:
    """Smooth random pictures (colour tables depend on what is shown) and sparse maps."""
    generator = torch.Generator().manual_seed(side)
    coarse = torch.rand(n, 3, 8, 8, generator=generator)
    images = (F.resize(coarse, [side, side], antialias=True).clamp(0, 1) * 255).to(torch.uint8)
    maps = torch.rand(n, side, side, generator=generator) * (torch.rand(n, side, side, generator=generator) < 0.15)
    return aw.Batch.of(images, torch.arange(n) % 10, maps).to(device)


def made(entry: catalogue.Entry, side: int, quantile: float | None) -> Any:
    """A method with its usual strength for this size of image."""
    options: dict[str, Any] = {}
    if entry.strength and entry.usual is not None:
        options[entry.strength] = side // 2 if entry.strength == "length" else entry.usual
    if quantile is not None:
        options["quantile"] = quantile
        if entry.kind == "image":
            options["length"] = side // 2
        if entry.kind == "mixing":
            options["labels"] = "importance"
    return entry.load()(**options)


def ours(side: int) -> tuple[Calls, Calls]:
    """Batch and sample path of every method of the catalogue."""
    batch, few = data(side, BATCH[side]), data(side, SAMPLES[side], torch.device("cpu"))
    maps = few.importance
    assert maps is not None
    samples = [
        aw.Sample(image, aw.ImportanceMap(own), 0, i, float(own.sum()))
        for i, (image, own) in enumerate(zip(few.images, maps.as_subclass(Tensor), strict=True))
    ]
    bare = batch._replace(importance=None, evidence=torch.zeros_like(batch.evidence))
    batches: Calls = {}
    singles: Calls = {}
    for name, entry in catalogue.methods().items():
        for arm, quantile in (("plain", None), ("guarded", 0.6)):
            try:
                method = made(entry, side, quantile)
            except TypeError:  # a method without a guard
                continue
            given = bare if arm == "plain" and not method.guarded else batch
            batches[f"{name}_{arm}_{side}_batch"] = lambda method=method, given=given: method(given)
            if entry.kind != "mixing":
                singles[f"{name}_{arm}_{side}_sample"] = lambda method=method: [method(s) for s in samples]
    return batches, singles


def peers(side: int) -> tuple[Calls, Calls]:
    """The same methods of other libraries, without a map."""
    batch, few = data(side, BATCH[side]), data(side, SAMPLES[side], torch.device("cpu"))
    images, labels = batch.images.as_subclass(Tensor), batch.labels
    policies = {"trivialaugment": v2.TrivialAugmentWide(), "randaugment": v2.RandAugment()}
    policies |= {"autoaugment": v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)}
    tensors = [image.as_subclass(Tensor) for image in few.images]
    pictures = [F.to_pil_image(image) for image in tensors]
    batches: Calls = {
        f"torchvision_{name}_{side}_batch": lambda policy=policy: torch.stack([policy(image) for image in images])
        for name, policy in policies.items()
    }
    erasing = v2.RandomErasing(p=1.0)
    batches[f"torchvision_randomerasing_{side}_batch"] = lambda: torch.stack([erasing(image) for image in images])
    for name, mixer in (("cutmix", v2.CutMix(num_classes=10)), ("mixup", v2.MixUp(num_classes=10))):
        floats = images.float() / 255
        batches[f"torchvision_{name}_{side}_batch"] = lambda mixer=mixer, floats=floats: mixer(floats, labels)
    singles: Calls = {
        f"torchvision_{name}_{side}_sample": lambda policy=policy: [policy(image) for image in tensors]
        for name, policy in policies.items()
    }
    singles |= {
        f"torchvision_pil_{name}_{side}_sample": lambda policy=policy: [policy(picture) for picture in pictures]
        for name, policy in policies.items()
    }
    singles[f"torchvision_randomerasing_{side}_sample"] = lambda: [erasing(image) for image in tensors]
    if version("kornia"):
        batches |= {f"kornia_{k}_{side}_batch": v for k, v in _kornia(images.float() / 255, labels).items()}
    if version("timm"):
        found = _timm(images.float() / 255, labels, pictures)
        batches |= {f"timm_{k}_{side}_batch": v for k, v in found[0].items()}
        singles |= {f"timm_{k}_{side}_sample": v for k, v in found[1].items()}
    if version("albumentations"):
        arrays = [image.permute(1, 2, 0).contiguous().numpy() for image in tensors]
        singles |= {f"albumentations_{k}_{side}_sample": v for k, v in _albumentations(arrays).items()}
    return batches, singles


def _kornia(images: Tensor, labels: Any) -> Calls:
    import kornia.augmentation as K
    from kornia.augmentation.auto import AutoAugment, RandAugment, TrivialAugment

    policies = {"trivialaugment": TrivialAugment(), "randaugment": RandAugment(n=2, m=9)}
    policies |= {"autoaugment": AutoAugment("cifar10"), "randomerasing": K.RandomErasing(p=1.0)}
    calls: Calls = {name: lambda policy=policy: policy(images) for name, policy in policies.items()}
    cutmix, mixup = K.RandomCutMixV2(data_keys=["input", "class"]), K.RandomMixUpV2(data_keys=["input", "class"])
    calls["cutmix"], calls["mixup"] = lambda: cutmix(images, labels), lambda: mixup(images, labels)
    return calls


def _timm(images: Tensor, labels: Any, pictures: list[Any]) -> tuple[Calls, Calls]:
    from timm.data.auto_augment import auto_augment_transform, rand_augment_transform
    from timm.data.mixup import Mixup
    from timm.data.random_erasing import RandomErasing

    cutmix = Mixup(mixup_alpha=0.0, cutmix_alpha=1.0, mode="elem", num_classes=10)
    mixup = Mixup(mixup_alpha=1.0, cutmix_alpha=0.0, mode="elem", num_classes=10)
    erasing = RandomErasing(probability=1.0, mode="pixel", device=images.device.type)
    rand = rand_augment_transform("rand-m9-n2", {"translate_const": 10})
    auto = auto_augment_transform("original", {"translate_const": 10})
    batches: Calls = {
        "cutmix": lambda: cutmix(images.clone(), labels),
        "mixup": lambda: mixup(images.clone(), labels),
        "randomerasing": lambda: erasing(images.clone()),
    }
    singles: Calls = {
        "randaugment": lambda: [rand(picture) for picture in pictures],
        "autoaugment": lambda: [auto(picture) for picture in pictures],
    }
    return batches, singles


def _albumentations(arrays: list[Any]) -> Calls:
    import albumentations as A

    side = arrays[0].shape[0]
    transforms = {
        "cutout": A.CoarseDropout((1, 1), (side // 2, side // 2), (side // 2, side // 2), p=1.0),
        "randomerasing": A.Erasing(p=1.0),
        "gridmask": A.GridDropout(ratio=0.4, random_offset=True, p=1.0),
    }
    return {
        name: lambda transform=transform: [transform(image=array)["image"] for array in arrays]
        for name, transform in transforms.items()
    }


def trivial_augment() -> Calls:
    """The batched policy and torchvision's, image by image, on the same uint8 images."""
    policy, theirs = aw.TrivialAugment(), v2.TrivialAugmentWide()
    calls: Calls = {}
    for side, n in ((32, 128), (224, 128)):
        images = data(side, n).images.as_subclass(Tensor)
        calls[f"batched_trivial_augment_{side}_ms"] = lambda images=images: policy(images)
        calls[f"torchvision_trivial_augment_loop_{side}_ms"] = lambda images=images: torch.stack(
            [theirs(image) for image in images]
        )
    return calls


def measure() -> dict[str, Any]:
    warnings.simplefilter("ignore")  # peers' deprecations
    torch.manual_seed(0)
    results: dict[str, Any] = {"device": DEVICE.type}
    results |= medians_ms(trivial_augment(), budget=6.0, rounds=6)
    for side in BATCH:
        batches, singles = (a | b for a, b in zip(ours(side), peers(side), strict=True))
        for calls, n in ((batches, BATCH[side]), (singles, SAMPLES[side])):
            taken = medians_ms(calls, budget=0.8, rounds=2)
            results |= {f"{name}_images_per_s": round(1000 * n / ms) for name, ms in taken.items()}
    return results


if __name__ == "__main__":
    run(__doc__, measure)
