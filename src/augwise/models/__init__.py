"""Classifiers, and the wrapper through which estimators and attacks see them."""

from ..fingerprints import model_fingerprint as fingerprint
from .build import build, find_head
from .data_config import DataConfig, data_config
from .ensemble import Ensemble
from .frozen import freeze_all_but_head
from .normalized import Normalized
from .style import style_network
from .weights import load_weights, read_weights

__all__ = [
    "DataConfig",
    "Ensemble",
    "Normalized",
    "build",
    "data_config",
    "find_head",
    "fingerprint",
    "freeze_all_but_head",
    "load_weights",
    "read_weights",
    "style_network",
]
