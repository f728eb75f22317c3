"""Stores filled by images that come and go, memory that does not suffice, fast passes: a map stays its image's."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from augwise.errors import UserError
from augwise.importance import store_files
from augwise.importance.cdiea import CDIEA
from augwise.importance.centre import CentrePrior
from augwise.importance.continuous import attack_until
from augwise.importance.descent import Stop
from augwise.importance.estimate import estimate
from augwise.importance.speed import Quick, Speed, laid_out
from reference.store_case import Noisy, Pictures, arrays, classifier, contents

METHOD = CDIEA(steps=24, epsilon=0.2, beta=0.05)
STOP = Stop(binary=0.2, patience=2, every=2)
ARRAYS = ("maps.npy", "status.npy", "scale.npy")
HERE = torch.device("cpu")


def run(folder, data, model=None, method=METHOD, **options):
    options = {"progress": False, "chunk_size": 4, "continuous": STOP} | options
    return estimate(model or classifier(), data, folder, method, **options)


def maps(folder) -> Tensor:
    kept = arrays(folder)
    return torch.from_numpy(kept["maps"] * kept["scale"][:, None, None])


class Counted(nn.Module):
    """A classifier that counts the images of its passes and fails on too many, in the words of an allocator."""

    def __init__(self, most: int = 10**9, error: type[Exception] = torch.OutOfMemoryError, until: int = 10**9) -> None:
        super().__init__()
        self.inner, self.most, self.error, self.until = classifier(), most, error, until
        self.images = self.largest = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.images > self.until:
            raise KeyboardInterrupt
        if len(x) > self.most:
            raise self.error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 7 bytes\nat line 1")
        self.images, self.largest = self.images + len(x), max(self.largest, len(x))
        return self.inner(x)


def test_a_continuous_store_holds_each_images_own_map(tmp_path):
    data = Pictures(11)
    store = run(tmp_path / "maps", data)
    assert store.meta["continuous"] == {"binary": 0.2, "patience": 2, "every": 2}
    run(tmp_path / "static", data, continuous=False)
    assert "continuous" not in json.loads((tmp_path / "static" / "meta.json").read_text()), (
        "old stores know no such key"
    )
    values = maps(tmp_path / "maps")
    for i, (image, label) in enumerate(data.items):
        found = attack_until(classifier(), image[None].float() / 255, torch.tensor([label]), METHOD, STOP)
        expected = METHOD.maps(found)
        assert store.failed[i] == expected.failed[0]
        torch.testing.assert_close(values[i], expected.importance[0], rtol=0.02, atol=0.05)
    assert 0 < store.failed.sum() < 11


def test_stopped_and_gone_on_with_it_is_the_same_store(tmp_path):
    data, model = Pictures(30), Counted().eval()
    whole = contents(run(tmp_path / "whole", data, model).path)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", data, Counted(until=3 * model.images // 4).eval())
    done = arrays(tmp_path / "stopped")["status"] != store_files.PENDING
    assert 0 < done.sum() < 30
    rest = Counted().eval()
    again = contents(run(tmp_path / "stopped", data, rest).path)
    assert rest.images < model.images
    assert {name: again[name] for name in ARRAYS} == {name: whole[name] for name in ARRAYS}


def test_continuous_is_another_store_and_saves_passes(tmp_path):
    data, fast, slow = Pictures(24), Counted().eval(), Counted().eval()
    run(tmp_path / "fast", data, fast)
    run(tmp_path / "slow", data, slow, continuous=False)
    assert fast.images < 0.9 * slow.images
    with pytest.raises(UserError, match=r"continuous batching was None, now \{'binary': 0.2"):
        run(tmp_path / "slow", data, slow)
    with pytest.raises(UserError, match="noisy: continuous batching is for attacks"):
        run(tmp_path / "noisy", data, method=Noisy())
    with pytest.raises(UserError, match="centre"):
        estimate(None, data, tmp_path / "centre", CentrePrior(), continuous=True, progress=False)


@pytest.mark.parametrize("continuous", [False, STOP])
@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_a_batch_that_does_not_fit_is_halved_once_and_said(tmp_path, capsys, continuous, error):
    data = Pictures(21)
    model, roomy = Counted(3, error).eval(), Counted().eval()
    options = {"chunk_size": 8, "continuous": continuous}
    run(tmp_path / "small", data, model, **options)
    run(tmp_path / "large", data, roomy, **options)
    assert model.largest == 2
    said = capsys.readouterr().err
    assert said.count("does not suffice for 8 images of 3×6×5") == 1
    assert said.count("going on with 2") == 1
    torch.testing.assert_close(maps(tmp_path / "small"), maps(tmp_path / "large"), rtol=0.02, atol=0.05)
    environments = json.loads((tmp_path / "small" / "meta.json").read_text())["environments"]
    assert [each.get("largest_batch") for each in environments] == [None, 4, 2]


def test_where_not_even_one_image_fits_the_need_is_told(tmp_path):
    model = Counted(2).eval()  # lets the first look through, which takes two images
    looked = model.forward

    def forward(x):
        if torch.is_grad_enabled():
            model.most = 0
        return looked(x)

    model.forward = forward
    with pytest.raises(UserError, match=r"single image of 3×6×5 \(.*allocate 7 bytes; 0.0115 MB of it"):
        run(tmp_path / "maps", Pictures(5), model)
    with pytest.raises(UserError, match="memory of cpu does not suffice for the model and 2 images"):
        run(tmp_path / "none", Pictures(5), Counted(0).eval())


def test_other_errors_are_not_taken_for_lack_of_memory(tmp_path):
    class Broken(Counted):
        def forward(self, x):
            if torch.is_grad_enabled():
                raise RuntimeError("shapes do not match")
            return super().forward(x)

    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(tmp_path / "maps", Pictures(5), Broken().eval())


def test_fast_passes_are_for_gradients_alone_and_leave_the_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)).eval().requires_grad_(False)
    images, before = torch.rand(5, 3, 6, 5), {n: p.data_ptr() for n, p in model.named_parameters()}
    plain = model(images)
    with laid_out(model, HERE, Speed(bf16=True)):
        assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
        fast = Quick(model, HERE, Speed(bf16=True))
        with torch.no_grad():
            torch.testing.assert_close(fast(images), plain)  # the other layout may round otherwise
        with torch.enable_grad():
            rough = fast(images.requires_grad_())
        assert rough.dtype == torch.float32
        assert not torch.equal(rough, plain)
        torch.testing.assert_close(rough.detach(), plain, rtol=0.05, atol=0.05)
        assert torch.autograd.grad(rough.sum(), images)[0].dtype == torch.float32
    assert {n: p.data_ptr() for n, p in model.named_parameters()} == before
    assert model[0].weight.is_contiguous()


def test_precision_is_recorded_and_chosen_by_method_and_device(tmp_path):
    data, model = Pictures(6), Counted().eval()
    assert Speed.of(METHOD, HERE, "auto", False) == Speed()
    assert Speed.of(METHOD, HERE, "bf16", True).described() == {
        "precision": "bf16", "memory_format": "channels_last", "compiled": True,
    }  # fmt: skip
    assert Speed.of(CentrePrior(), HERE, "bf16", False) == Speed()
    store = run(tmp_path / "maps", data, model, precision="bf16")
    assert store.meta["environments"][0]["precision"] == "bf16"
    plain = run(tmp_path / "plain", data, model, precision="float32")
    assert "precision" not in plain.meta["environments"][0]
    assert np.mean(store.failed == plain.failed) > 0.8
    with pytest.raises(UserError, match="precision='half'"):
        run(tmp_path / "no", data, precision="half")


def test_grey_and_many_channels():
    for channels in (1, 7):
        images = torch.rand(5, channels, 6, 5)
        model = nn.Sequential(nn.Flatten(), nn.Linear(channels * 30, 4)).eval().requires_grad_(False)
        labels = model(images).argmax(1)
        found = attack_until(model, images, labels, replace(METHOD, epsilon=0.3), STOP)
        assert found.success.any()
        assert (found.delta.abs() <= 0.3).all()
