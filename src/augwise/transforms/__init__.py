"""Augmentations of single images and of batches, which carry the importance map along or consult it."""

from .base import Augmentation as Augmentation
from .crop_flip import RandomCrop as RandomCrop
from .crop_flip import RandomHorizontalFlip as RandomHorizontalFlip
from .cutout import Cutout as Cutout
from .follow import Followed as Followed
from .follow import follow as follow
from .preserve import Preserve as Preserve
from .resized_crop import RandomResizedCrop as RandomResizedCrop
