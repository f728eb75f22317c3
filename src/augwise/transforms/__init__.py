"""Augmentations of single images and of batches, which carry the importance map along or consult it."""

from .adv_mask import AdvMask as AdvMask
from .base import Augmentation as Augmentation
from .crop_flip import RandomCrop as RandomCrop
from .crop_flip import RandomHorizontalFlip as RandomHorizontalFlip
from .cutout import Cutout as Cutout
from .follow import Followed as Followed
from .follow import follow as follow
from .grid_mask import GridMask as GridMask
from .hide_and_seek import HideAndSeek as HideAndSeek
from .preserve import Preserve as Preserve
from .random_erasing import RandomErasing as RandomErasing
from .resized_crop import RandomResizedCrop as RandomResizedCrop
