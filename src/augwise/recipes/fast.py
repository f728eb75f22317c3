"""The fast setting: CIFAR-10 in seconds on one current data-centre GPU, so that differences of a tenth of a point can
be measured with hundreds of paired runs an hour.

    config = fast("npz:cifar10.npz", "resnet9", seed=3)
    results = aw.train(config, steps=[aw.Cutout(8)])

Data and maps lie on the device, augmentation is batched, the network is compiled, in bfloat16 and channels_last. Aims
(design, Evidence): `resnet9` at 94 % within 10 s, `resnet18` at 95 % within 60 s of training, compilation not counted;
``python -m benchmarks.gpu_fast`` measures whether they are met. The settings are chosen on training without a method
and stay as they are for every method and arm.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from ..training.config import TrainConfig

Network = Literal["resnet9", "resnet18"]

SETTINGS: dict[str, dict[str, Any]] = {
    "resnet9": {"epochs": 15, "batch_size": 512, "lr": 0.4, "warmup_epochs": 3.0, "label_smoothing": 0.1, "ema": 0.99},
    "resnet18": {"epochs": 18, "batch_size": 512, "lr": 0.4, "warmup_epochs": 4.0, "label_smoothing": 0.1, "ema": 0.99},
}
"""By network: SGD with Nesterov momentum 0.9, weight decay 5e-4, one linear rise and one cosine fall of the learning
rate, an average of the weights over the last hundred steps."""


def fast(data: str = "cifar10", network: Network = "resnet9", seed: int = 0, **changes: Any) -> TrainConfig:
    """How to train CIFAR-10 fast. changes: fields of `TrainConfig` to set otherwise, such as ``compile=False`` on a
    CPU."""
    config = TrainConfig(
        data=data,
        model=network,
        seed=seed,
        compile=True,
        eval_last=1,
        tensorboard=False,
        quiet=True,
        out=None,
        **SETTINGS[network],
    )
    return replace(config, **changes)
