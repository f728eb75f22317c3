"""Augmentations of single images and of batches, which carry the importance map along or consult it."""

from .auto_augment import AutoAugment as AutoAugment
from .base import Augmentation as Augmentation
from .crop_flip import RandomCrop as RandomCrop
from .crop_flip import RandomHorizontalFlip as RandomHorizontalFlip
from .cutout import Cutout as Cutout
from .fast_auto_augment import FastAutoAugment as FastAutoAugment
from .follow import Followed as Followed
from .follow import follow as follow
from .preserve import Preserve as Preserve
from .rand_augment import RandAugment as RandAugment
from .resized_crop import RandomResizedCrop as RandomResizedCrop
from .trivial_augment import TrivialAugment as TrivialAugment
