"""Shared set-up: two threads fight on small machines, so tests compute with one; ``tests/`` is importable."""

import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its newest version
sys.path.insert(0, str(Path(__file__).parent))

import pytest
import torch


def pytest_configure() -> None:
    """A shell has background jobs ignore Ctrl-C, and children inherit that; some tests interrupt themselves."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)
