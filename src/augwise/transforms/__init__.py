"""Augmentations of single images and of batches, which carry the importance map along or consult it."""

from .adv_mask import AdvMask as AdvMask
from .auto_augment import AutoAugment as AutoAugment
from .base import Augmentation as Augmentation
from .crop_flip import RandomCrop as RandomCrop
from .crop_flip import RandomHorizontalFlip as RandomHorizontalFlip
from .cutout import Cutout as Cutout
from .fast_auto_augment import FastAutoAugment as FastAutoAugment
from .follow import Followed as Followed
from .follow import follow as follow
from .grid_mask import GridMask as GridMask
from .hide_and_seek import HideAndSeek as HideAndSeek
from .preserve import Preserve as Preserve
from .rand_augment import RandAugment as RandAugment
from .random_erasing import RandomErasing as RandomErasing
from .resized_crop import RandomResizedCrop as RandomResizedCrop
from .trivial_augment import TrivialAugment as TrivialAugment
from .trusted import TrustedGuard as TrustedGuard
