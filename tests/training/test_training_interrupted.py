"""Training killed at random moments ends with the bytes of an uninterrupted run; two processes train what one does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from reference import two_processes

SCRIPTS = Path(__file__).parent.parent / "reference"
QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_killed_and_resumed_it_ends_with_the_same_bytes(tmp_path):
    command = [sys.executable, str(SCRIPTS / "killed_training.py"), str(tmp_path), "6"]
    done = subprocess.run(command, capture_output=True, text=True, env=QUIET, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    happened = done.stdout.split("\n")
    assert happened.count("signal 9") + happened.count("exit 3") >= 4, done.stdout
    assert "exit 0" in happened, done.stdout
    for name in ("weights.safetensors",):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    curves = [json.loads((tmp_path / run / "results.json").read_text())["curve"] for run in ("killed", "whole")]
    for a, b in zip(*curves, strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}
    assert not list((tmp_path / "killed").glob("*.pt"))


def test_two_processes_train_to_the_weights_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**QUIET, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, str(SCRIPTS / "two_processes.py"), str(tmp_path / "two")]
    processes = [
        subprocess.Popen(command, env={**common, "RANK": r, "LOCAL_RANK": r}, stderr=subprocess.PIPE, text=True)
        for r in "01"
    ]
    one = two_processes.run(tmp_path / "one")
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    two = json.loads((tmp_path / "two" / "results.json").read_text())
    assert (one["processes"], two["processes"]) == (1, 2)
    for a, b in zip(one["curve"], two["curve"], strict=True):
        assert b["train_loss"] == pytest.approx(a["train_loss"], abs=1e-4)
        assert b["test_accuracy"] == pytest.approx(a["test_accuracy"], abs=1 / 41)
    first, second = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-4, atol=1e-5)
