"""Where images come from and how they reach a model: sources, the sample path, the batch path, the resident path."""

from .arrays import ArraySource
from .collate import collate
from .collate_with import collate_with
from .people import PeopleSource, who_is_who
from .pipeline import BatchPipeline, Normalize, run_steps
from .redraw import Redraw, RedrawSampler
from .relabelled import Relabelled, noisy_labels
from .resident import Resident
from .samplers import EpochSampler, epoch_order
from .sources import Resized, Source, Subset, as_source, chosen, left_out, limited, open_source, split_validation
from .with_importance import WithImportance

__all__ = [
    "ArraySource",
    "BatchPipeline",
    "EpochSampler",
    "Normalize",
    "PeopleSource",
    "Redraw",
    "RedrawSampler",
    "Relabelled",
    "Resident",
    "Resized",
    "Source",
    "Subset",
    "WithImportance",
    "as_source",
    "chosen",
    "collate",
    "collate_with",
    "epoch_order",
    "left_out",
    "limited",
    "noisy_labels",
    "open_source",
    "run_steps",
    "split_validation",
    "who_is_who",
]
