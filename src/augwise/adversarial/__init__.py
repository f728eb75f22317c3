"""Augmentation made by the model in training: LP-A3, what it measures distance by, and whom it is worth it for."""

from .consistency import TimeConsistency as TimeConsistency
from .lpa3 import LPA3 as LPA3
from .lpa3 import Moved as Moved
from .norms import AuxiliaryBatchNorm as AuxiliaryBatchNorm
from .norms import held as held
from .perceptual import PerceptualDistance as PerceptualDistance
from .perceptual import stages as stages
from .selective import Selective as Selective
