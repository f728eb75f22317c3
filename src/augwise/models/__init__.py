"""Classifiers, and the wrapper through which estimators and attacks see them."""

from ..fingerprints import model_fingerprint as fingerprint
from .build import build, find_head
from .cell_networks import CellNetwork, cell_shape, kept_name
from .counted import Counted, counted
from .data_config import DataConfig, data_config
from .ensemble import Ensemble
from .frozen import freeze_all_but_head
from .genotype import Genotype, genotype
from .normalized import Normalized
from .style import style_network
from .supernet import Supernet
from .weights import load_weights, read_weights

__all__ = [
    "CellNetwork",
    "Counted",
    "DataConfig",
    "Ensemble",
    "Genotype",
    "Normalized",
    "Supernet",
    "build",
    "cell_shape",
    "counted",
    "data_config",
    "find_head",
    "fingerprint",
    "freeze_all_but_head",
    "genotype",
    "kept_name",
    "load_weights",
    "read_weights",
    "style_network",
]
