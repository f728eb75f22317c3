"""What DCutMix's architecture searches share: how PC-DARTS searches and trains, at every scale.

PC-DARTS (Xu et al., ICLR 2020, section 4): search of 50 epochs, 15 of them for the weights alone, 16 channels, 8 cells,
batch 256, lr 0.1; on CIFAR 36 channels, 20 cells, 600 epochs, batch 128, lr 0.025, Cutout of 16, auxiliary head 0.4,
drop path 0.3; on ImageNet 48 channels, 14 cells, 250 epochs, batch 1024, lr 0.5 after 5 epochs' warm-up, weight decay
3e-5, label smoothing 0.1. DCutMix names neither t of its subset nor the network that measures CV.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..training.config import TrainConfig
from ..training.search_config import SearchConfig
from .chosen import Choice
from .dcutmix import cifar
from .searched import Search

CIFAR: dict[str, Any] = {
    "model": "darts:GENOTYPE", "epochs": 600, "batch_size": 128, "lr": 0.025, "weight_decay": 3e-4, "clip": 5.0,
    "eval_last": 10,
}  # fmt: skip
IMAGENET: dict[str, Any] = {
    "data": "imagenet", "model": "darts_imagenet:GENOTYPE", "epochs": 250, "batch_size": 1024, "lr": 0.5,
    "weight_decay": 3e-5, "warmup_epochs": 5.0, "label_smoothing": 0.1, "clip": 5.0, "crop": "resized", "size": 224,
    "loader": "workers", "num_workers": 8, "eval_last": 10,
}  # fmt: skip
DIGITS: dict[str, Any] = {
    "data": "digits", "model": "darts_c8_l3:GENOTYPE", "size": 16, "limit": 400, "epochs": 12, "batch_size": 25,
    "lr": 0.05, "weight_decay": 3e-4, "clip": 5.0, "drop_path": 0.0, "eval_last": 1,
}  # fmt: skip
"""Stands in for training at the scale tiny."""
DIGITS_SEARCH: dict[str, Any] = {
    "data": "digits", "size": 16, "limit": 400, "epochs": 10, "batch_size": 25, "channels": 8, "layers": 3,
    "architecture_lr": 0.006,
}  # fmt: skip
"""And for the search: so few steps need longer ones."""
_ASKED_DIGITS = TrainConfig(data="digits", size=16, limit=400, epochs=12, batch_size=25, eval_last=1)


def searched(words: Mapping[str, Any], data: str, measure: str | None, fraction: float = 1.0) -> Search:
    """The search on all images (measure None), or on a share of them. words: ``search``, what differs from PC-DARTS's;
    ``asked``, epochs of the network that CV asks; ``stand_in`` at the scale tiny."""
    if "stand_in" in words:
        config, asked = SearchConfig(**DIGITS_SEARCH), _ASKED_DIGITS
    else:
        config = SearchConfig(data=data, **words.get("search", {}))
        asked = cifar(data, "pyramidnet110_a64", {"epochs": words["asked"]} if "asked" in words else {})
    if measure is None:
        return Search(config)
    assert measure in ("cv", "random")
    return Search(config, Choice(asked, measure, fraction, seed=None))
