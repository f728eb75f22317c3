"""The README's library examples run as they stand, one after the other."""

import re
from pathlib import Path

import torch


def test_the_library_example(tmp_path, monkeypatch):
    text = (Path(__file__).parents[1] / "README.md").read_text()
    first, on_the_device = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(first, "README.md", "exec"), names)
    loss = names["loss"]
    assert torch.isfinite(loss)
    assert loss.requires_grad
    shares = names["batch"].labels.weights
    assert torch.allclose(shares.sum(1), torch.ones(len(shares)))
    assert (shares[:, 1] > 0).any()
    left = names["batch"].importance.sum() / names["batch"].evidence.sum()
    assert 0 < left <= 2
    exec(compile(on_the_device, "README.md", "exec"), names)
    batch = names["batch"]
    assert batch.images.shape == (50, 3, 32, 32)
    assert torch.isfinite(batch.labels.cross_entropy(names["model"](batch.images)))
    assert (batch.labels.weights[:, 1] > 0).any()
