"""`estimate` and `merge`: however the work is cut, stopped, grown or shared, the store is the same."""

from __future__ import annotations

import json
import os
import resource
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from augwise import randomness
from augwise.errors import UserError
from augwise.fingerprints import hash_pixels
from augwise.importance import store_files
from augwise.importance.centre import CentrePrior
from augwise.importance.estimate import Plan, estimate
from augwise.importance.merge import merge
from augwise.importance.occlusion import Occlusion
from augwise.importance.store import ImportanceStore, pack
from reference.store_case import Noisy, Pictures, arrays, classifier, contents


@dataclass(frozen=True)
class Counting(Noisy):
    """Noisy, remembering how many images it has seen; interrupts itself where told to."""

    name: ClassVar[str] = "counting"
    seen: ClassVar[list[int]] = []
    stop_after: ClassVar[int] = 10**9

    def compute(self, model, images, labels, seeds):
        if sum(self.seen) >= Counting.stop_after:
            raise KeyboardInterrupt
        self.seen.append(len(images))
        return super().compute(model, images, labels, seeds)


@pytest.fixture(autouse=True)
def _fresh():
    Counting.seen.clear()
    Counting.stop_after = 10**9


def run(folder: Path, data=None, method=None, model=None, **options) -> ImportanceStore:
    data = Pictures() if data is None else data
    store = estimate(model or classifier(), data, folder, method or Noisy(), progress=False, **options)
    assert isinstance(store, ImportanceStore)
    return store


def test_a_store_holds_what_the_estimator_says_image_by_image(tmp_path):
    data, model, method = Pictures(), classifier(), Noisy(power=1.5)
    store = run(tmp_path / "a.maps", data, method, model, seed=7)
    for row, (image, label) in enumerate(data.items):
        key = hash_pixels(image)
        seeds = [randomness.derive(7, key)]
        importance, failed = method.estimate(model, image[None] / 255, torch.tensor([label]), seeds)
        packed, scale = pack(importance.numpy())
        assert np.abs(store.maps[row].astype(int) - packed[0]).max() <= 1  # float32 depends on the batch size
        np.testing.assert_allclose(store.scale[row], scale[0], rtol=1e-5)
        assert (store.failed[row], store.hashes[row], store.labels[row]) == (bool(failed[0]), key, label)
    summary = store.summary()
    assert summary["success_rate"] == pytest.approx(1 - store.failed.mean())
    assert summary["mean_key_points"] == pytest.approx((store.maps > 0).sum() / 30)
    assert (summary["rows"], summary["done"], summary["failed"]) == (30, 30, store.failed.sum())
    meta = json.loads((tmp_path / "a.maps" / "meta.json").read_text())
    assert (meta["method"], meta["arguments"], meta["seed"]) == ("noisy", {"power": 1.5, "pause": 0.0}, 7)
    assert meta["environments"][0]["threads"] == 1
    assert sorted(contents(tmp_path / "a.maps")) == [
        "hashes.npy", "labels.npy", "maps.npy", "meta.json", "scale.npy", "status.npy",
    ]  # fmt: skip


def test_maps_follow_the_image_not_its_place(tmp_path):
    data, order = Pictures(), np.random.default_rng(0).permutation(30).tolist()
    one = run(tmp_path / "a.maps", data, chunk_size=1)
    other = run(tmp_path / "b.maps", data.of(order), chunk_size=1)
    np.testing.assert_array_equal(other.maps, one.maps[order])
    assert (run(tmp_path / "c.maps", data, chunk_size=1, seed=1).maps != one.maps).any()


@pytest.mark.parametrize("chunks_done", [0, 1, 5])
def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path, chunks_done):
    run(tmp_path / "whole.maps", method=Counting())
    Counting.seen.clear()
    Counting.stop_after = 4 * chunks_done
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a.maps", method=Counting())
    with pytest.raises(UserError, match=f"{4 * chunks_done} of 30 rows"):
        ImportanceStore(tmp_path / "a.maps")
    status = arrays(tmp_path / "a.maps")["status"]
    status[4 * chunks_done : 4 * chunks_done + 3] = 1  # a kill between two disk blocks: part of a chunk says done
    np.save(tmp_path / "a.maps" / "status.npy", status)
    Counting.stop_after = 10**9
    Counting.seen.clear()
    run(tmp_path / "a.maps", method=Counting())
    assert sum(Counting.seen) == 30 - 4 * chunks_done
    assert contents(tmp_path / "a.maps") == contents(tmp_path / "whole.maps")
    Counting.seen.clear()
    run(tmp_path / "a.maps", method=Counting())
    assert Counting.seen == []


def test_a_grown_data_set_computes_only_what_is_new(tmp_path):
    old, data = Pictures(14), Pictures(25)
    before = run(tmp_path / "a.maps", old, Counting())
    kept = {name: values.copy() for name, values in arrays(tmp_path / "a.maps").items()}
    Counting.seen.clear()
    mixed = data.of(np.random.default_rng(0).permutation(25).tolist())
    grown = run(tmp_path / "a.maps", mixed, Counting())
    assert sum(Counting.seen) == 11
    for name, values in kept.items():
        np.testing.assert_array_equal(arrays(tmp_path / "a.maps")[name][:14], values)
    fresh = run(tmp_path / "b.maps", mixed)
    a, b = grown.attach(mixed, verify=True), fresh.attach(mixed)
    np.testing.assert_allclose(a.read(range(25)).numpy(), b.read(range(25)).numpy(), atol=1e-2)
    np.testing.assert_array_equal(before.attach(old).read(3), grown.attach(old).read(3))
    Counting.seen.clear()
    run(tmp_path / "a.maps", old.of([3, 1]), Counting())  # a smaller data set asks for nothing
    assert Counting.seen == []
    relabelled = old.of([0, 1])
    relabelled.items[1] = (relabelled.items[1][0], 3)
    assert len(run(tmp_path / "a.maps", relabelled, Counting())) == 26


def test_a_growth_stopped_and_resumed_equals_one_that_ran_through(tmp_path):
    for name in ("a.maps", "b.maps"):
        run(tmp_path / name, Pictures(14), Counting())
    run(tmp_path / "a.maps", Pictures(25), Counting())
    Counting.seen.clear()
    Counting.stop_after = 4
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b.maps", Pictures(25), Counting())
    Counting.stop_after = 10**9
    run(tmp_path / "b.maps", Pictures(25), Counting())
    assert contents(tmp_path / "a.maps") == contents(tmp_path / "b.maps")


@pytest.mark.parametrize("stage", ["reserved", "described"])
def test_a_growth_killed_half_way_is_repaired(tmp_path, stage):
    """As left by a kill after the space was reserved, and after meta.json was written but not the headers."""
    for name in ("a.maps", "b.maps"):
        run(tmp_path / name, Pictures(14))
    run(tmp_path / "a.maps", Pictures(25))
    folder = tmp_path / "b.maps"
    meta = store_files.grown(store_files.read_meta(folder), 11)
    store_files.reserve(folder, meta)
    if stage == "described":
        for name in ("hashes", "labels"):
            store_files.write_rows(folder, f"{name}.npy", 14, arrays(tmp_path / "a.maps")[name][14:])
        store_files.write_meta(folder, meta)
    with pytest.raises(UserError, match="grew"):
        ImportanceStore(folder, allow_partial=True)
    run(folder, Pictures(25))
    assert contents(folder) == contents(tmp_path / "a.maps")


def other_classifier() -> nn.Module:
    model = classifier()
    with torch.no_grad():
        model[2].bias[1] += 1e-3  # pyright: ignore
    return model


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": Noisy(power=2.0)}, r"power was 1\.0, now 2\.0"),
        ({"method": Counting()}, "method was 'noisy', now 'counting'"),
        ({"model": other_classifier()}, r"model was '\w{32}', now '\w{32}'"),
        ({"seed": 5}, "seed was 0, now 5"),
        ({"chunk_size": 3}, "chunk_size was 4, now 3"),
        ({"data": Pictures(30, height=7)}, r"image size was \(3, 6, 5\), now \(3, 7, 5\)"),
        ({"data": Pictures(30, seed=1)}, "none of these 30 images"),
        ({"part": (0, 2)}, "part was 'the whole', now '0 of 2'"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_store_refuses_to_go_on_otherwise(tmp_path, changes, message, finished):
    run(tmp_path / "a.maps")
    if not finished:
        np.save(tmp_path / "a.maps" / "status.npy", np.zeros(30, np.uint8))
    before = contents(tmp_path / "a.maps")
    for dry_run in (True, False):
        with pytest.raises(UserError, match=message):
            run(tmp_path / "a.maps", dry_run=dry_run, **changes)
    assert contents(tmp_path / "a.maps") == before


class Bad(Pictures):
    """Pictures with one item replaced."""

    def __init__(self, row, item):
        super().__init__()
        self.items[row] = item


class Flickering(Pictures):
    def __getitem__(self, index):
        return torch.randint(0, 256, (3, 6, 5), dtype=torch.uint8), 0


class Named(Pictures):
    class_names = ("cat", "dog", "owl")


class OfSize(nn.Module):
    """Asserts its size, as vision transformers do."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, images):
        assert images.shape[2] == self.size, f"a picture of {self.size}, please"
        return images


def training() -> nn.Module:
    model = classifier()
    model[1].train()  # pyright: ignore
    return model


GOOD = Pictures().items[0][0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": training()}, r"training mode \(1\): call model\.eval"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(90, 3)).eval()}, "labels go up to 3.*3 classes"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(91, 4)).eval()}, "does not take images"),
        ({"model": OfSize(7).eval()}, "does not take images .*a picture of 7"),
        ({"model": nn.Identity().eval()}, r"returns shape \(2, 3, 6, 5\)"),
        ({"data": Named()}, "3 classes, the model 4"),
        ({"model": "resnet18"}, "noisy needs a classifier, but model is 'resnet18'"),
        ({"method": "cdiea"}, "method is 'cdiea': give an estimator"),
        ({"method": Noisy}, "give an estimator, such as"),
        ({"data": Bad(11, (GOOD / 255 * torch.nan, 0))}, "row 11.*nan"),
        ({"data": Bad(11, (GOOD.float(), 0))}, "row 11.*before any normalisation"),
        ({"data": Bad(0, (GOOD / 255 - 0.1, 0))}, r"row 0.*-0\.\d+"),
        ({"data": Bad(29, (GOOD[:, :5], 0))}, "row 29 has an image of shape"),
        ({"data": Bad(3, (GOOD, -1))}, "row 3.*label is -1"),
        ({"data": Bad(3, (GOOD, 1.0))}, r"row 3.*label is 1\.0"),
        ({"data": Bad(3, GOOD)}, "row 3"),
        ({"data": Flickering()}, "another image each time"),
        ({"data": Pictures(0)}, "empty"),
        ({"data": iter([])}, "map-style"),
        ({"chunk_size": 0}, "chunk_size=0"),
        ({"part": (2, 2)}, r"part=\(2, 2\)"),
        ({"part": (8, 9)}, "30 images are 8 chunks"),
    ],
)
def test_bad_input_stops_before_anything_is_written(tmp_path, changes, message):
    for dry_run in (True, False):
        with pytest.raises(UserError, match=message):
            run(tmp_path / "a.maps", dry_run=dry_run, **changes)
    assert not (tmp_path / "a.maps").exists()


@dataclass(frozen=True)
class Broken(Noisy):
    """Returns what no estimator may."""

    name: ClassVar[str] = "broken"
    fault: str = "nan"

    def compute(self, model, images, labels, seeds):
        importance, failed = super().compute(model, images, labels, seeds)
        fault = {"nan": importance * torch.nan, "negative": importance - 1, "shape": importance[:, 1:]}[self.fault]
        return type(super().compute(model, images, labels, seeds))(fault, failed)


@pytest.mark.parametrize(("fault", "message"), [("nan", "finite"), ("negative", "negative"), ("shape", "shape")])
def test_a_broken_estimator_is_named_and_marks_nothing_done(tmp_path, fault, message):
    with pytest.raises(UserError, match=f"broken returned.*{message}"):
        run(tmp_path / "a.maps", method=Broken(fault=fault))
    assert not ImportanceStore(tmp_path / "a.maps", allow_partial=True).status.any()


def test_the_model_is_given_back_as_it_was(tmp_path):
    model = classifier()
    model[2].bias.requires_grad_(False)  # pyright: ignore
    state = torch.random.get_rng_state()
    run(tmp_path / "a.maps", model=model)
    assert [p.requires_grad for p in model.parameters()] == [True, False]
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(state, torch.random.get_rng_state())


def test_images_read_by_workers_give_the_same_store(tmp_path):
    run(tmp_path / "a.maps")
    run(tmp_path / "b.maps", num_workers=1)
    assert contents(tmp_path / "a.maps") == contents(tmp_path / "b.maps")


def test_a_dry_run_says_what_and_how_long_and_writes_nothing(tmp_path, capsys):
    method = Noisy(pause=0.02)
    plan = estimate(classifier(), Pictures(), tmp_path / "a.maps", method, dry_run=True)
    assert isinstance(plan, Plan)
    assert (plan.rows, plan.pending) == (30, 30)
    assert 0.02 * 30 / 4 <= plan.seconds < 60
    assert str(plan) in capsys.readouterr().out
    assert not (tmp_path / "a.maps").exists()
    run(tmp_path / "a.maps", method=method)
    size = sum(path.stat().st_size for path in (tmp_path / "a.maps").glob("*.npy"))
    before = contents(tmp_path / "a.maps")
    plan = estimate(classifier(), Pictures(34), tmp_path / "a.maps", method, dry_run=True)
    assert isinstance(plan, Plan)
    assert (plan.rows, plan.pending) == (34, 4)
    assert plan.bytes == size + 4 * (30 + 4 + 1 + 8 + 8)
    assert contents(tmp_path / "a.maps") == before


@pytest.mark.parametrize("of", [2, 3, 8])
def test_parts_merged_equal_one_run(tmp_path, of):
    run(tmp_path / "whole.maps")
    parts = [tmp_path / f"{i}.maps" for i in range(of)]
    for i, part in enumerate(parts):
        run(part, part=(i, of))
    store = merge(parts[::-1], tmp_path / "merged.maps")
    assert len(store) == 30
    assert contents(tmp_path / "merged.maps") == contents(tmp_path / "whole.maps")


def test_merging_keeps_one_map_per_image_of_unrelated_parts(tmp_path):
    data = Pictures(20)
    run(tmp_path / "a.maps", data.of([*range(12)]))
    run(tmp_path / "b.maps", data.of([*range(19, 8, -1)]))
    store = merge([tmp_path / "a.maps", tmp_path / "b.maps"], tmp_path / "c.maps")
    assert len(store) == 20
    a = ImportanceStore(tmp_path / "a.maps").attach(data.of([*range(12)]))
    np.testing.assert_array_equal(store.attach(data.of([*range(12)])).read(range(12)), a.read(range(12)))
    assert store.attach(data).read(range(20)).shape == (20, 6, 5)


def test_merging_refuses_what_does_not_belong_together(tmp_path):
    data = Pictures(8)
    run(tmp_path / "a.maps", data)
    run(tmp_path / "b.maps", data, Noisy(power=3.0))
    run(tmp_path / "c.maps", data, seed=1)
    shutil.copytree(tmp_path / "a.maps", tmp_path / "d.maps")
    np.save(tmp_path / "d.maps" / "status.npy", np.zeros(8, np.uint8))
    out = tmp_path / "out.maps"
    for parts, message in [
        ("ab", r"power is 1\.0 and 3\.0"), ("ac", "seed is 0 and 1"), ("ad", "0 of 8 rows"), ("", "no parts"),
        ("ae", "does not exist"),
    ]:  # fmt: skip
        with pytest.raises(UserError, match=message):
            merge([tmp_path / f"{part}.maps" for part in parts], out)
    with pytest.raises(UserError, match="exists"):
        merge([tmp_path / "a.maps"], tmp_path / "b.maps")
    assert not any(path.name.startswith("out") for path in tmp_path.iterdir())


def test_a_second_writer_is_told_who_writes(tmp_path):
    folder = tmp_path / "a.maps"
    run(folder)
    with (
        store_files.Lock(folder, store_files.read_meta(folder)),
        pytest.raises(UserError, match=f"process {os.getpid()}"),
    ):
        run(folder)
    run(folder)
    (folder / "writer.lock").write_text("process 1 on a machine that was switched off\n")
    run(folder)
    assert not (folder / "writer.lock").exists()


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    (tmp_path / "file.maps").write_text("mine")
    for path in (tmp_path, tmp_path / "file.maps", tmp_path / "file.maps" / "a.maps"):
        with pytest.raises(UserError):
            run(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.maps", "thesis.tex"]


def test_a_creation_killed_half_way_is_begun_again(tmp_path):
    run(tmp_path / "whole.maps")
    (tmp_path / "a.maps").mkdir()
    (tmp_path / "a.maps" / "maps.npy").write_bytes(b"\1" * 5000)
    (tmp_path / "a.maps" / "status.npy").write_bytes(b"\1" * 50)
    run(tmp_path / "a.maps")
    assert contents(tmp_path / "a.maps") == contents(tmp_path / "whole.maps")


def test_too_little_space_is_an_error_before_work(tmp_path):
    run(tmp_path / "grown.maps", Pictures(14), Counting())
    before = contents(tmp_path / "grown.maps")
    Counting.seen.clear()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (128 + 20 * 30, limits[1]))
    try:
        with pytest.raises(UserError, match=r"a\.maps cannot be written: \d+ bytes are needed"):
            run(tmp_path / "a.maps", method=Counting())
        with pytest.raises(UserError, match=r"grown\.maps cannot be written: \d+ bytes are needed"):
            run(tmp_path / "grown.maps", Pictures(25), Counting())
        with pytest.raises(UserError, match="bytes are needed"):
            ImportanceStore.from_maps(Pictures(25), np.ones((25, 6, 5)), tmp_path / "own.maps")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert Counting.seen == []
    assert [path.name for path in tmp_path.iterdir()] == ["grown.maps"]
    assert contents(tmp_path / "grown.maps") == before


def test_no_permission_is_an_error_before_work(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o555)
    root = os.geteuid() == 0
    if root:
        tmp_path.chmod(0o755)
        for parent in tmp_path.parents[:3]:  # pytest closes its folders to others
            parent.chmod(parent.stat().st_mode | 0o055)
        os.seteuid(65534)
    try:
        with pytest.raises(UserError, match=r"cannot be written: \d+ bytes are needed.*Permission"):
            run(tmp_path / "closed" / "a.maps", method=Counting())
    finally:
        if root:
            os.seteuid(0)
    assert Counting.seen == []


def test_progress_tells_time_success_and_key_points(tmp_path, capsys):
    estimate(classifier(), Pictures(), tmp_path / "a.maps", Noisy())
    told = capsys.readouterr().err
    assert "30 of 30 images" in told
    assert "images/s" in told
    store = ImportanceStore(tmp_path / "a.maps")
    assert f"success {1 - store.failed.mean():.1%}" in told
    assert "key points" in told


def test_a_data_set_may_call_anything_its_source(tmp_path):
    data = Pictures()
    data.source = "where the pictures come from"
    run(tmp_path / "a.maps", data)
    run(tmp_path / "b.maps", Pictures())
    assert contents(tmp_path / "a.maps") == contents(tmp_path / "b.maps")


def test_a_disk_without_room_for_the_lock_is_told(tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # as a full disk: names can be made, nothing written
    try:
        with pytest.raises(UserError, match=r"a\.maps cannot be written: \d+ bytes are needed"):
            run(tmp_path / "a.maps")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "a.maps").exists()
    run(tmp_path / "a.maps")


def test_a_plan_tells_how_far_the_classifier_can_be_trusted(tmp_path):
    images = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8)
    images[:, 0] = torch.arange(40)[:, None, None] % 4 * 60  # the class shows in the first channel

    class Reads(torch.nn.Module):
        def forward(self, pixels):
            level = (pixels[:, 0].mean((1, 2)) * 255 / 60).round()
            return -(level[:, None] - torch.arange(4)).abs()

    class Guesses(torch.nn.Module):
        def forward(self, pixels):
            return torch.tensor([[1.0, 0, 0, 0]]).expand(len(pixels), 4)

    data = [(image, i % 4) for i, image in enumerate(images)]
    method = Occlusion(window=4, stride=2)
    plan = estimate(Reads().eval(), data, tmp_path / "a", method, dry_run=True)
    assert "right on 100 % of 40 of these images" in str(plan)
    assert "chance" not in str(plan)
    plan = estimate(Guesses().eval(), data, tmp_path / "b", method, dry_run=True)
    assert "right on 25 % of 40 of these images and says the same of all of them" in str(plan)


@pytest.mark.parametrize(("right", "chance"), [(0, True), (15, True), (19, False), (40, False)])
def test_a_classifier_must_be_clearly_better_than_chance(tmp_path, right, chance):
    """Of 40 images of four classes chance gets 10, and 18 once in a thousand times."""
    images = torch.zeros(40, 3, 8, 8, dtype=torch.uint8)
    images[:, 0] = (60 * (torch.arange(40) % 4))[:, None, None]
    images[right:, 0] = (images[right:, 0] + 60) % 240  # of these it sees the next class

    class Reads(torch.nn.Module):
        def forward(self, pixels):
            return -((pixels[:, 0].mean((1, 2)) * 255 / 60)[:, None] - torch.arange(4)).abs()

    data = [(image, i % 4) for i, image in enumerate(images)]
    plan = estimate(Reads().eval(), data, tmp_path / "a", Occlusion(window=4, stride=2), dry_run=True)
    assert f"right on {100 * right / 40:.0f} % of 40 of these images" in str(plan)
    assert ("no better than chance" in str(plan)) == chance


def test_the_images_that_tell_of_the_classifier_are_spread_over_the_data(tmp_path):
    images = torch.zeros(600, 3, 8, 8, dtype=torch.uint8)
    images[300:] = 255  # of these the classifier sees the wrong class

    class Dark(torch.nn.Module):
        def forward(self, pixels):
            bright = pixels.mean((1, 2, 3))
            return torch.stack([1 - bright, bright], 1)

    data = [(image, 0) for image in images]
    plan = estimate(Dark().eval(), data, tmp_path / "a", Occlusion(window=4, stride=4), dry_run=True)
    assert "right on 50 % of 256 of these images" in str(plan)


def test_the_last_image_of_another_size_is_found_before_anything_is_written(tmp_path):
    data = [*Pictures(99).items, *Pictures(1, height=7).items]
    with pytest.raises(UserError, match="row 99 has an image of shape"):
        estimate(None, data, tmp_path / "a.maps", CentrePrior(), progress=False)
    assert not (tmp_path / "a.maps").exists()
