"""Training on photographs of any size: what is cut, what is measured, what it is normalised with, and exact resume."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import augwise as aw
from augwise import randomness
from augwise.analysis.estimate_maps import EstimateConfig, estimate_maps
from augwise.data import ArraySource, Resident, Resized
from augwise.errors import UserError
from augwise.models import data_config
from augwise.training.batches import Batches, LoaderReader, ResidentReader
from augwise.training.config import EvaluateConfig, TrainConfig
from augwise.training.evaluate import evaluate
from augwise.training.train import train
from augwise.training.views import CropStretched, evaluation_view, resolved, seen, statistics, training_crop
from augwise.transforms.resized_crop import resized_crop
from reference.photographs import Photographs, assert_together, folder
from reference.training_toys import network

CONFIG = TrainConfig(
    crop="resized",
    size=24,
    crop_scale=(0.3, 1.0),
    epochs=2,
    batch_size=8,
    optimizer="adamw",
    precision="fp32",
    device="cpu",
    quiet=True,
    tensorboard=False,
    out=None,
)
TRAIN, TEST = Photographs(20, 30, 70, seed=1), Photographs(9, 30, 70, seed=2)


class Ramps:
    """Images of different shapes whose pixels tell their place: red is x / width, green y / height."""

    name, flip, class_names = "ramps", True, ["a"]

    def __init__(self) -> None:
        self.sizes = [(90, 270), (300, 100), (120, 120), (100, 210)] * 10
        self.labels = np.zeros(40, np.int64)

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        height, width = self.sizes[index]
        x, y = torch.arange(width).expand(height, -1) / width, torch.arange(height)[:, None].expand(-1, width) / height
        return (torch.stack([x, y, x]) * 255).round().to(torch.uint8), 0

    def fingerprint(self, index: int) -> int:
        return index


def test_the_batch_path_cuts_boxes_with_the_shape_they_have_in_the_photograph():
    ramps = Ramps()
    resident = Resident.load(ramps, progress=False, size=160)
    assert resident.images.shape == (40, 3, 160, 160)
    assert resident.stretch is not None
    assert resident.stretch.tolist() == pytest.approx([w / h for h, w in ramps.sizes])
    step = CropStretched(aw.RandomResizedCrop(64, (0.2, 0.5), (0.8, 1.25)), resident.stretch)
    batch = step(resident.batch(torch.arange(40).flip(0)))
    shapes = []
    for image, index in zip(batch.images.as_subclass(Tensor).double() / 255, batch.indices.tolist(), strict=True):
        height, width = ramps.sizes[index]
        # A linear ramp over 64 pixels shows 63/64 of the box between its first and its last.
        wide = float(image[0, 32, -1] - image[0, 32, 0]) * width * 64 / 63
        tall = float(image[1, -1, 32] - image[1, 0, 32]) * height * 64 / 63
        assert 0.18 < wide * tall / (height * width) < 0.55
        assert 0.74 < wide / tall < 1.35
        shapes.append(wide / tall)
    assert max(shapes) > 1.1
    assert min(shapes) < 0.9


def test_every_process_cuts_its_rows_of_the_batch_as_one_process_would():
    resident = Resident.load(Ramps(), progress=False, size=40)
    step = CropStretched(aw.RandomResizedCrop(16, (0.2, 0.5)), resident.stretch)

    def cut(rows, offset):
        with randomness.stream("cut"), randomness.shard(offset, 12):
            return step(resident.batch(torch.arange(*rows))).images

    whole = cut((0, 12), 0)
    assert torch.equal(cut((0, 5), 0), whole[:5])
    assert torch.equal(cut((5, 12), 5), whole[5:])


@pytest.mark.parametrize("loader", ["workers", "resident"])
def test_mark_and_map_stay_together_on_both_paths(loader):
    """What the batches of a run show, right before the method under test."""
    photographs = Photographs(24, 60, 150)
    store = aw.ImportanceStore.from_maps(photographs, photographs.maps(112))
    pairs = []

    def observe(before, _after):
        pairs.extend(zip(before.images, before.importance, before.evidence, strict=True))
        return {}

    config = replace(CONFIG, size=64, loader=loader, epochs=3, resident_size=120 if loader == "resident" else None)
    train(config, source=photographs, test=TEST, maps=store, model=network(classes=2), observe=observe)
    assert all(image.shape == (3, 64, 64) for image, _, _ in pairs)
    whole = [(image, m) for image, m, evidence in pairs if m.sum() > 0.95 * evidence]
    assert len(whole) > 15
    for image, importance in whole:
        assert_together(image, importance)


def test_the_centre_crop_and_its_map():
    photographs = Photographs(12, 60, 150)
    store = aw.ImportanceStore.from_maps(photographs, photographs.maps(112))
    config = resolved(replace(CONFIG, size=48, crop_share=0.9, interpolation="bicubic"))
    data = aw.WithImportance(photographs, store)
    view = Resized(photographs, 48, 0.9, "bicubic")
    whole = 0
    for i in range(12):
        sample = seen(data.read(i), config)
        assert torch.equal(sample.image, view[i][0])
        if sample.importance.sum() > 0.95 * sample.evidence:
            assert_together(sample.image, sample.importance)
            whole += 1
    assert whole > 3


@pytest.mark.parametrize("loader", ["workers", "resident"])
def test_measured_on_the_centre_crop_and_resumed_exactly(tmp_path, loader):
    def run(name, stop):
        calls = []

        def observe(_before, _after):
            calls.append(None)
            if len(calls) > stop:
                raise InterruptedError
            return {}

        config = replace(CONFIG, epochs=3, loader=loader, ema=0.9, checkpoint_steps=1, out=tmp_path / name)
        model = network(classes=2)
        return train(config, source=TRAIN, test=TEST, model=model, steps=[aw.Cutout(5)], observe=observe), model

    results, model = run("whole", 99)
    view = Resized(TEST, 24, 0.875)
    images = torch.stack([view[i][0] for i in range(len(TEST))])
    weights = aw.models.read_weights(tmp_path / "whole" / "weights.safetensors")
    model.load_state_dict(weights)
    inputs = aw.Normalize(results["data"]["mean"], results["data"]["std"])(images)
    right = (model.eval()(inputs).argmax(1).numpy() == TEST.labels).mean()
    assert results["test"]["last_accuracy"] == pytest.approx(right)
    pixels = torch.stack([Resized(TRAIN, 24, 0.875)[i][0] for i in range(20)]).double() / 255
    assert results["data"]["mean"] == pytest.approx(pixels.mean((0, 2, 3)).tolist())  # of no random crop
    for stop in (1, 3):
        with pytest.raises(InterruptedError):
            run(f"at{stop}", stop)
        again, _ = run(f"at{stop}", 99)
        assert again["test"] == results["test"]
        resumed = tmp_path / f"at{stop}" / "weights.safetensors"
        assert resumed.read_bytes() == (tmp_path / "whole" / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_the_crop_of_a_run_has_all_its_settings(mode):
    config = resolved(replace(CONFIG, crop_scale=(0.2, 0.25), crop_ratio=(1.8, 2.0), interpolation=mode))
    crop, images = training_crop(config), torch.randint(0, 256, (50, 3, 90, 100), dtype=torch.uint8)
    boxes = crop.make_params(images, None, None)["boxes"]
    tall, wide = (boxes[:, 2] - boxes[:, 0]).double(), (boxes[:, 3] - boxes[:, 1]).double()
    assert (wide / tall).min() > 1.7
    assert (wide / tall).max() < 2.1
    assert (tall * wide / 9000).min() > 0.19
    assert (tall * wide / 9000).max() < 0.26
    found, _ = crop.transform(images, None, {"boxes": boxes})
    assert torch.equal(found, resized_crop(images, boxes, (24, 24), mode))


def test_a_transform_sees_the_cut_out_image():
    shapes = set()

    def look(sample):
        shapes.add(tuple(sample.image.shape))
        return sample

    train(
        replace(CONFIG, loader="workers", epochs=1), source=TRAIN, test=TEST, model=network(classes=2), transform=look
    )
    assert shapes == {(3, 24, 24)}


def test_samples_do_not_depend_on_the_workers():
    crop = aw.RandomResizedCrop(24, (0.3, 1.0))
    readers = [
        LoaderReader(aw.WithImportance(TRAIN, transform=[crop], seed=4), torch.device("cpu"), workers)
        for workers in (0, 2)
    ]
    none, two = (list(Batches(r, last=[aw.Normalize([0.4], [0.2])], batch_size=8).epoch(1, 1)) for r in readers)
    for reader in readers:
        reader.close()
    assert all(torch.equal(a.images, b.images) for a, b in zip(none, two, strict=True))
    assert isinstance(ResidentReader(Resident.load(TRAIN, progress=False, size=30)).resident.stretch, Tensor)


def test_a_run_is_evaluated_as_it_was_measured_and_its_maps_are_of_whole_files(tmp_path):
    data = folder(tmp_path / "data")
    config = replace(CONFIG, data=data, epochs=1, crop_share=0.7, loader="workers", out=tmp_path / "run")
    results = train(config)
    asked = EvaluateConfig(run=tmp_path / "run", device="cpu", quiet=True)
    assert evaluate(asked)["accuracy"] == pytest.approx(results["test"]["last_accuracy"])
    assert evaluate(asked)["loss"] != pytest.approx(evaluate(replace(asked, crop_share=1.0))["loss"])

    files = aw.open_source(data)
    maps = EstimateConfig(data=data, run=tmp_path / "run", device="cpu", quiet=True, out=tmp_path / "whole.maps")
    store = estimate_maps(maps, aw.Occlusion(window=0.5, stride=0.5))
    assert store.hashes.tolist() == [files.fingerprint(i) for i in range(len(files))]
    assert tuple(store.meta["image"]) == (3, 24, 24)
    middle = estimate_maps(replace(maps, fit="crop", out=tmp_path / "crop.maps"), aw.Occlusion(window=0.5, stride=0.5))
    assert not set(middle.hashes.tolist()) & set(store.hashes.tolist())
    with pytest.raises(UserError, match="needs --size"):
        estimate_maps(EstimateConfig(data=data, fit="stretch", out=tmp_path / "none"), aw.CentrePrior())
    guarded = train(replace(config, out=None), maps=store, steps=[aw.Cutout(0.5, quantile=0.6)])
    assert guarded["curve"][0]["importance_erased"] < 0.6


def test_what_published_weights_want_is_used_where_the_run_starts_from_weights(tmp_path):
    published = data_config("torchvision:resnet50")
    assert published is not None
    config = replace(CONFIG, model="torchvision:resnet50", size=None)
    weights = replace(config, pretrained=True)
    full = resolved(weights)
    assert (full.size, full.crop_share, full.interpolation) == (224, 224 / 232, "bilinear")
    assert full.resident_size == 256
    assert resolved(replace(weights, size=96, crop_share=0.5, loader="workers")).crop_share == 0.5
    assert resolved(replace(weights, loader="workers")).resident_size is None
    assert resolved(replace(config, size=96)).crop_share == 0.875
    with pytest.raises(UserError, match="crop=resized needs size"):
        resolved(config)
    pad = TrainConfig(pretrained=True, model="torchvision:resnet50")
    assert resolved(pad) is pad

    assert statistics(weights, 3) == (published.mean, published.std)
    assert statistics(pad, 3) == (published.mean, published.std)
    assert statistics(weights, 1) is None
    assert statistics(config, 3) is None
    assert statistics(replace(weights, mean=(0.1,) * 3, std=(0.2,) * 3), 3) == ((0.1,) * 3, (0.2,) * 3)
    assert statistics(TrainConfig(checkpoint=tmp_path / "x.pt"), 3) is None  # small_cnn
    foreign = replace(config, checkpoint=tmp_path / "weights.safetensors")
    assert statistics(foreign, 3) == (published.mean, published.std)
    (tmp_path / "results.json").write_text(json.dumps({"kind": "train", "data": {"mean": [0.3] * 3, "std": [0.4] * 3}}))
    assert statistics(foreign, 3) == ((0.3,) * 3, (0.4,) * 3)


def test_a_run_from_before_these_settings_is_not_disowned(tmp_path):
    images = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8)
    source = ArraySource(images, np.arange(20) % 3, list("abc"), "x")
    config = TrainConfig(epochs=1, batch_size=10, device="cpu", quiet=True, tensorboard=False, out=tmp_path)
    first = train(config, source=source, test=source, model=network())
    found = json.loads((tmp_path / "results.json").read_text())
    for settings in (found["config"], found["identity"]["config"]):
        for name in ("crop", "crop_scale", "crop_ratio", "crop_share", "interpolation", "resident_size"):
            del settings[name]
    (tmp_path / "results.json").write_text(json.dumps(found))
    assert evaluation_view(source, found["config"]) is source
    assert train(config, source=source, test=source, model=network())["test"] == first["test"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": None}, "crop=resized needs size"),
        ({"crop": "pad", "crop_scale": (0.2, 1.0)}, "crop_scale have no use with crop=pad"),
        ({"crop_scale": (0.5, 0.1)}, "no range of areas"),
        ({"crop_ratio": (2.0, 1.0)}, "no range of aspects"),
        ({"crop_share": 1.5}, "crop_share=1.5"),
        ({"resident_size": 20}, "resident_size=20 is less than size=24"),
        ({"interpolation": "nearest"}, "interpolation='nearest' is unknown"),
        ({"crop": "random"}, "crop='random' is unknown"),
    ],
)
def test_bad_input_stops_before_any_step(changes, message):
    with pytest.raises(UserError, match=message):
        train(replace(CONFIG, **changes), source=TRAIN, test=TEST, model=network(classes=2))
