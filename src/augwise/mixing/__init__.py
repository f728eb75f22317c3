"""Mixers, which make a batch of mixed images with labels that say what is shown, and steps that let labels doubt."""

from .base import Mixer as Mixer
from .cutmix import CutMix as CutMix
from .mixup import Mixup as Mixup
from .soften import SmoothLabels as SmoothLabels
from .soften import SoftenLabels as SoftenLabels
