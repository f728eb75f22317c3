"""The README's library example runs as it stands."""

import re
from pathlib import Path

import torch


def test_the_library_example(tmp_path, monkeypatch):
    text = (Path(__file__).parents[1] / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    loss = names["loss"]
    assert torch.isfinite(loss)
    assert loss.requires_grad
    shares = names["batch"].labels.weights
    assert torch.allclose(shares.sum(1), torch.ones(len(shares)))
    assert (shares[:, 1] > 0).any()
    left = names["batch"].importance.sum() / names["batch"].evidence.sum()
    assert 0 < left <= 2
