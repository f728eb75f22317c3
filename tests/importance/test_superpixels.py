"""Superpixel maps: importance averaged over segments that are found once, stored beside the maps, and stay apart."""

from __future__ import annotations

import json
import math
import os
import pickle
import sys

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

import augwise as aw
from augwise.data import ArraySource, Subset, collate
from augwise.errors import UserError
from augwise.importance import superpixels as module
from augwise.importance.store import ImportanceStore
from augwise.importance.superpixels import Superpixels, slic, superpixel_maps
from augwise.transforms.kept import levels
from reference import kept as slow

pytest.importorskip("skimage")
HEIGHT, WIDTH, N = 16, 24, 10


def source(n: int = N, channels: int = 3, name: str = "pictures") -> ArraySource:
    """Smooth pictures, so that segments have something to follow."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((N, channels, 4, 5), dtype=np.float32))
    images = (v2.functional.resize(coarse, [HEIGHT, WIDTH]).clamp(0, 1) * 255).round().to(torch.uint8)
    return ArraySource(images[:n], np.arange(n) % 4, list("abcd"), name)


def some_maps(n: int = N, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    maps = np.random.default_rng(1).random((n, height, width), dtype=np.float32) ** 3
    maps[3] = 0  # a failed attack
    return maps


def stored(tmp_path, **given) -> ImportanceStore:
    return ImportanceStore.from_maps(source(), some_maps(**given), tmp_path / "own.maps")


def averages(importance: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Slow: the mean of every segment, one after the other."""
    result = np.zeros(importance.shape)
    for segment in set(segments.flatten().tolist()):
        result[segments == segment] = importance[segments == segment].astype(np.float64).mean()
    return result


# The map of segments -------------------------------------------------------------------------------------------------


def test_maps_are_averages_set_apart_with_their_sum():
    rng = np.random.default_rng(0)
    maps, ids = rng.random((6, 9, 13), dtype=np.float32), rng.integers(0, 12, (6, 9, 13))
    maps[1] = 0
    maps[2] = 0.25  # all segments tie
    maps[3][ids[3] < 5] = 0
    found = superpixel_maps(torch.from_numpy(maps), torch.from_numpy(ids))
    assert found.dtype == torch.float32
    for values, mean, segments in zip(found, map(averages, maps, ids), ids, strict=True):
        np.testing.assert_allclose(values.numpy(), mean, rtol=12e-4)
        assert float(values.double().sum()) == pytest.approx(mean.sum(), rel=1e-6)
        sets = slow.segments(values)
        positive = {int(s) for s in np.unique(segments[mean > 0])}
        assert len(sets) == len(positive) + (mean == 0).any()
        assert (values.numpy() > 0).tolist() == (mean > 0).tolist()
    assert len(levels(found)[0][2].unique()) == 12
    assert superpixel_maps(torch.rand(0, 3, 4), torch.zeros(0, 3, 4).int()).shape == (0, 3, 4)


def test_values_that_differ_are_left_alone():
    maps = torch.tensor([[[1.0, 2.0, 2.0, 5.0]]])
    ids = torch.tensor([[[7, 3, 3, 0]]])
    assert torch.allclose(superpixel_maps(maps, ids), maps, rtol=1e-7)


def test_slic_is_the_package_s_own_on_the_grid():
    from skimage.segmentation import slic as theirs

    image = source()[0][0]
    ours = slic(image, HEIGHT, WIDTH, 20, 5.0)
    assert ours.dtype == np.int16
    expected = theirs(image.permute(1, 2, 0).numpy(), n_segments=20, compactness=5.0, start_label=0)
    np.testing.assert_array_equal(ours, expected)
    grey = slic(image[:1], HEIGHT, WIDTH, 20, 5.0)
    np.testing.assert_array_equal(grey, slic(image[:1].expand(3, -1, -1), HEIGHT, WIDTH, 20, 5.0))
    assert len(np.unique(slic(image[:2], 8, 12, 10, 5.0))) > 4  # two channels, a coarser grid
    assert len(np.unique(slic(torch.zeros(3, 20, 30, dtype=torch.uint8), 10, 10, 8, 5.0))) > 4  # flat: squares


# Beside the store ----------------------------------------------------------------------------------------------------


def test_computed_once_and_reopened(tmp_path, monkeypatch):
    store = stored(tmp_path)
    first = aw.superpixels(store, source(), segments=20)
    assert sorted(p.name for p in store.path.iterdir() if "seg" in p.name) == ["segments.json", "segments.npy"]
    assert not [p for p in store.path.iterdir() if "part" in p.name or p.name == "writer.lock"]
    for i, (image, _) in enumerate(source()):
        np.testing.assert_array_equal(first.segments[i], slic(image, HEIGHT, WIDTH, 20, 10.0))
    made = json.loads((store.path / "segments.json").read_text())
    assert (made["segments"], made["compactness"], made["rows"]) == (20, 10.0, N)

    def never(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(module, "_compute", never)
    again = aw.superpixels(str(store.path), segments=20)
    np.testing.assert_array_equal(again.segments, first.segments)
    assert "20 per image" in repr(again)
    assert len(again) == N
    with pytest.raises(UserError, match=r"no superpixels of 30 segments.*10 rows with 20 segments"):
        aw.superpixels(store, segments=30)
    with pytest.raises(AssertionError, match="again"):
        aw.superpixels(store, source(), segments=20, compactness=3.0)
    ImportanceStore(store.path)  # still a store


def test_same_images_same_segments_in_memory_and_after_a_change_of_mind(tmp_path):
    store = stored(tmp_path)
    first = np.array(aw.superpixels(store, source(), segments=20).segments)
    aw.superpixels(store, source(), segments=8)
    np.testing.assert_array_equal(aw.superpixels(store, source(), segments=20).segments, first)
    memory = aw.superpixels(ImportanceStore.from_maps(source(), some_maps()), source(), segments=20)
    np.testing.assert_array_equal(memory.segments, first)


def test_an_interrupted_computation_leaves_what_was_there(tmp_path, monkeypatch):
    store = stored(tmp_path)
    first = np.array(aw.superpixels(store, source(), segments=20).segments)
    calls = []

    def stopped(*given):
        calls.append(given)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return slic(*given)

    monkeypatch.setattr(module, "slic", stopped)
    with pytest.raises(KeyboardInterrupt):
        aw.superpixels(store, source(), segments=8)
    assert not [p.name for p in store.path.iterdir() if "part" in p.name or p.name == "writer.lock"]
    np.testing.assert_array_equal(aw.superpixels(store, segments=20).segments, first)


def test_a_grown_store_computes_its_new_rows_alone(tmp_path, monkeypatch):
    made = aw.estimate(None, source(6), tmp_path / "corners.maps", method=aw.HarrisCorners(), progress=False)
    aw.superpixels(made, source(6), segments=20)
    grown = aw.estimate(None, source(), tmp_path / "corners.maps", method=aw.HarrisCorners(), progress=False)
    seen = []
    monkeypatch.setattr(module, "slic", lambda image, *given: seen.append(1) or slic(image, *given))
    found = aw.superpixels(grown, source(), segments=20)
    assert len(seen) == N - 6
    for i, (image, _) in enumerate(source()):
        np.testing.assert_array_equal(found.segments[i], slic(image, HEIGHT, WIDTH, 20, 10.0))


def test_segments_of_another_store_in_the_same_folder_are_not_taken(tmp_path):
    store = stored(tmp_path)
    aw.superpixels(store, source(), segments=20)
    kept = {p.name: p.read_bytes() for p in store.path.iterdir() if "seg" in p.name}
    turned = Subset(source(), list(range(N))[::-1])
    other = ImportanceStore.from_maps(turned, some_maps(), tmp_path / "other.maps")
    for name, content in kept.items():
        (other.path / name).write_bytes(content)
    with pytest.raises(UserError, match="has no superpixels"):
        aw.superpixels(other, segments=20)


@pytest.mark.parametrize("damage", ["cut", "type", "json", "absent"])
def test_damage_is_told(tmp_path, damage):
    store = stored(tmp_path)
    aw.superpixels(store, source(), segments=20)
    array, made = store.path / "segments.npy", store.path / "segments.json"
    if damage == "cut":
        array.write_bytes(array.read_bytes()[:-7])
    elif damage == "type":
        np.save(array, np.zeros((N, HEIGHT, WIDTH)))
    elif damage == "json":
        made.write_text("{")
    else:
        array.unlink()
    with pytest.raises(UserError, match=r"cannot be read.*delete segments\.npy"):
        aw.superpixels(store, source(), segments=20)
    made.unlink()  # without what describes it an array is none
    assert len(aw.superpixels(store, source(), segments=20)) == N


# Attached ------------------------------------------------------------------------------------------------------------


def expected_maps(store: ImportanceStore, found: Superpixels) -> np.ndarray:
    maps = store.maps.astype(np.float32) * store.scale[:, None, None]
    return np.stack([averages(a, b) for a, b in zip(maps, found.segments, strict=True)])


def test_attached_to_a_part_in_another_order(tmp_path):
    store = stored(tmp_path)
    found = aw.superpixels(store, source(), segments=20)
    part = Subset(source(), [7, 3, 0])
    maps, expected = found.attach(part), expected_maps(store, found)
    assert (len(maps), maps.height, maps.width) == (3, HEIGHT, WIDTH)
    assert maps.failed.tolist() == [False] * 3
    for i, row in enumerate([7, 3, 0]):
        single = maps.read(i)
        np.testing.assert_allclose(single.numpy(), expected[row], rtol=2e-3)
        assert torch.equal(single, maps.read([2, i])[1])
        assert len(slow.segments(single)) == len(np.unique(found.segments[row])) or row == 3
    assert not maps.read(1).any()
    packed, scale = maps.packed()
    assert torch.equal(packed, maps.read([0, 1, 2]))
    assert scale.tolist() == [1, 1, 1]
    assert maps.packed_bytes == 4 * HEIGHT * WIDTH
    other = maps.deranged(3)
    assert other.superpixels is found
    assert torch.equal(other.read(0), found.attach(source()).read(int(other.rows[0])))
    with pytest.raises(UserError, match="none of the"):
        found.attach(Noise())


class Noise(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return torch.full((3, HEIGHT, WIDTH), i, dtype=torch.uint8), 0


def test_workers_open_the_files_themselves(tmp_path):
    store = stored(tmp_path)
    maps = aw.superpixels(store, source(), segments=20).attach(source())
    data = pickle.dumps(maps)
    assert len(data) < 3000
    assert torch.equal(pickle.loads(data).read(4), maps.read(4))
    aw.superpixels(store, source(), segments=8)
    with pytest.raises(UserError, match="replaced"):
        pickle.loads(data)
    memory = aw.superpixels(ImportanceStore.from_maps(source(), some_maps()), source(), segments=8).attach(source())
    assert torch.equal(pickle.loads(pickle.dumps(memory)).read(4), memory.read(4))


@pytest.mark.parametrize("grid", [(HEIGHT, WIDTH), (8, 12)])
def test_segments_stay_segments_on_both_paths(tmp_path, grid):
    """Crop, flip, then one segment put back: the whole of one that is accepted, by sample and by batch."""
    store = stored(tmp_path, height=grid[0], width=grid[1])
    found = aw.superpixels(store, source(), segments=20)
    moves = [aw.RandomCrop((HEIGHT, WIDTH), 3), aw.RandomHorizontalFlip()]
    steps = [*moves, aw.Preserve(v2.RandomInvert(1.0), quantile=0.5, shape="superpixel")]
    whole = aw.Resident.load(source(), found, progress=False).batch(torch.arange(N))
    by_sample = collate([aw.WithImportance(source(), found)[i] for i in range(N)])
    assert torch.allclose(whole.importance, by_sample.importance, rtol=1e-5)
    sums = torch.from_numpy(store.maps.sum((1, 2), dtype=np.float64) * store.scale).float()
    assert torch.allclose(whole.evidence, sums, rtol=1e-5)
    before, after = (aw.BatchPipeline(some, seed=1)(whole, 0, 0) for some in (moves, steps))
    check_put_back(before, after, exact=grid == (HEIGHT, WIDTH))
    before, after = (
        collate([aw.WithImportance(source(), found, some, seed=1)[5, i] for i in range(N)]) for some in (moves, steps)
    )
    check_put_back(before, after, exact=grid == (HEIGHT, WIDTH))


def check_put_back(before: aw.Batch, after: aw.Batch, exact: bool) -> None:
    """What kept its colours is a whole segment; exact: that the slow way accepts."""
    kept = (before.images.as_subclass(torch.Tensor) == after.images.as_subclass(torch.Tensor)).all(1)
    maps = before.importance.as_subclass(torch.Tensor)
    assert torch.equal(maps, after.importance)
    for mask, values, level in zip(kept, maps, levels(maps)[0].view(maps.shape), strict=True):
        if not values.any():
            assert not mask.any()
            continue
        assert torch.equal(mask, level == level[mask][0])
        if exact:
            assert slow.pixels(mask) in slow.accepted_segments(values, 0.5)


# Errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"segments": 1}, "segments=1 .*from 2 to 96"),
        ({"segments": 97}, "segments=97"),
        ({"segments": 20.0}, "segments=20.0"),
        ({"segments": True}, "segments=True"),
        ({"compactness": 0}, "compactness=0"),
        ({"compactness": math.nan}, "compactness=nan"),
        ({"source": None}, "give the data set"),
        ({"source": Subset(source(), [0, 1, 2])}, "lacks 7 of the 10 images"),
        ({"store": "nowhere.maps"}, "does not exist"),
    ],
)
def test_bad_input(tmp_path, given, words):
    with pytest.raises(UserError, match=words):
        aw.superpixels(**{"store": stored(tmp_path), "source": source(), "segments": 20} | given)


def test_a_folder_that_cannot_be_written(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    store = stored(tmp_path)
    store.path.chmod(0o500)
    try:
        with pytest.raises(UserError, match="cannot be written"):
            aw.superpixels(store, source(), segments=20)
    finally:
        store.path.chmod(0o700)


def test_without_scikit_image(tmp_path, monkeypatch):
    store = stored(tmp_path)
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(UserError, match=r"pip install augwise\[superpixels\]"):
        aw.superpixels(store, source(), segments=20)
    monkeypatch.undo()
    aw.superpixels(store, source(), segments=20)
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    assert aw.superpixels(store, segments=20).attach(source()).read(0).any()  # what is stored needs nothing
