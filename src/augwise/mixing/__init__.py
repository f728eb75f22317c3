"""Mixers, which make a batch of mixed images with labels that say what is shown, and steps that let labels doubt."""

from .base import Mixer as Mixer
from .co_mixup import CoMixup as CoMixup
from .cutmix import CutMix as CutMix
from .dcutmix import DCutMix as DCutMix
from .dmixup import DMixup as DMixup
from .fmix import FMix as FMix
from .manifold_mixup import ManifoldMixup as ManifoldMixup
from .mixup import Mixup as Mixup
from .puzzle_mix import PuzzleMix as PuzzleMix
from .resize_mix import ResizeMix as ResizeMix
from .saliency_dcutmix import SaliencyDCutMix as SaliencyDCutMix
from .saliency_mix import SaliencyMix as SaliencyMix
from .soften import SmoothLabels as SmoothLabels
from .soften import SoftenLabels as SoftenLabels
from .style_cutmix import StyleCutMix as StyleCutMix
from .style_cutmix import style_distances as style_distances
from .style_mix import StyleMix as StyleMix
