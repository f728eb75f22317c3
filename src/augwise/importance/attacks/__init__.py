"""Sparse adversarial attacks of the field, each in a file of its own, as baselines for the attacks of `importance`."""

from .base import SparsePerturbation as SparsePerturbation
