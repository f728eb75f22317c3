"""Mixers: from a batch of images to a batch of mixed ones, with labels that say what is shown."""

from .base import Mixer as Mixer
from .cutmix import CutMix as CutMix
