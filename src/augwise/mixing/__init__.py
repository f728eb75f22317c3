"""Mixers, which make a batch of mixed images with labels that say what is shown, and steps that let labels doubt."""

from .base import Mixer as Mixer
from .co_mixup import CoMixup as CoMixup
from .cutmix import CutMix as CutMix
from .dcutmix import DCutMix as DCutMix
from .dmixup import DMixup as DMixup
from .mixup import Mixup as Mixup
from .puzzle_mix import PuzzleMix as PuzzleMix
from .saliency_dcutmix import SaliencyDCutMix as SaliencyDCutMix
from .soften import SmoothLabels as SmoothLabels
from .soften import SoftenLabels as SoftenLabels
