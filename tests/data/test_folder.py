"""folder:DIR reads split/class/files of any size and says which file is at fault."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data import Subset as TorchSubset
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as vision

import augwise as aw
from augwise.data import Resident, Resized, WithImportance, as_source, collate, open_source
from augwise.errors import UserError


def picture(path, height, width, mode="RGB", seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"RGB": (3,), "RGBA": (4,), "L": ()}[mode]
    array = np.random.default_rng(seed).integers(0, 256, (height, width, *channels), dtype=np.uint8)
    Image.fromarray(array).save(path)
    return array


@pytest.fixture
def root(tmp_path):
    for split in ("train", "validation"):
        picture(tmp_path / split / "zebra" / "b.png", 20, 30, seed=1)
        picture(tmp_path / split / "ape" / "a.png", 40, 24, seed=2)
    picture(tmp_path / "train" / "ape" / "deeper" / "c.PNG", 9, 9, "L", seed=3)
    (tmp_path / "train" / "ape" / "notes.txt").write_text("not an image")
    (tmp_path / "train" / ".cache").mkdir()
    return tmp_path


def test_classes_by_name_and_pixels_as_in_the_file(root):
    source = open_source(f"folder:{root}")
    assert source.class_names == ["ape", "zebra"]
    assert source.labels.tolist() == [0, 0, 1]
    assert np.array_equal(source[2][0].permute(1, 2, 0).numpy(), np.asarray(Image.open(root / "train/zebra/b.png")))
    assert source[1][0].shape == (3, 9, 9)  # grey becomes RGB
    assert source[2][1] == 1


def test_split_names_fall_back(root):
    assert len(open_source(f"folder:{root}", "val")) == 2
    assert len(open_source(f"folder:{root}", "test")) == 2
    picture(root / "test" / "zebra" / "b.png", 8, 8)
    source = open_source(f"folder:{root}", "test")
    assert source.labels.tolist() == [1]  # class numbers are those of the training split
    assert source.class_names == ["ape", "zebra"]


def test_fingerprint_is_of_the_bytes_wherever_the_file_lies(root, tmp_path_factory):
    source = open_source(f"folder:{root}")
    other = tmp_path_factory.mktemp("other")
    file = other / "train" / "x" / "renamed.png"
    file.parent.mkdir(parents=True)
    file.write_bytes((root / "train/zebra/b.png").read_bytes())
    expected = int.from_bytes(hashlib.blake2b(file.read_bytes(), digest_size=8).digest(), "little")
    assert source.fingerprint(2) == open_source(f"folder:{other}").fingerprint(0) == expected


def test_fingerprint_decodes_nothing_and_a_corrupt_image_is_named(root):
    (root / "train" / "ape" / "a.png").write_bytes(b"\x89PNG no more")
    source = open_source(f"folder:{root}")
    assert 0 <= source.fingerprint(0) < 2**64
    with pytest.raises(UserError, match=r"ape/a\.png"):
        source[0]


def test_a_truncated_jpeg_is_refused(root):
    picture(root / "train" / "zebra" / "d.jpg", 64, 64)
    file = root / "train" / "zebra" / "d.jpg"
    file.write_bytes(file.read_bytes()[:1500])
    source = open_source(f"folder:{root}")
    with pytest.raises(UserError, match=r"d\.jpg"):
        source[3]


def test_palette_with_transparency_decodes_without_a_warning(root):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)).convert("P")
    image.save(root / "train" / "zebra" / "p.png", transparency=bytes(range(256)))
    assert open_source(f"folder:{root}")[3][0].shape == (3, 8, 8)


def test_size_resizes_the_shorter_side_and_cuts_the_centre(root):
    Image.fromarray(np.tile(np.arange(0, 240, 4, dtype=np.uint8)[None, :, None], (20, 1, 3))).save(
        root / "train" / "ape" / "ramp.png"
    )  # 20 high, 60 wide, brightness 4x
    source = open_source(f"folder:{root}", size=10)
    image = source[2][0]
    assert all(source[i][0].shape == (3, 10, 10) for i in range(len(source)))
    # Column u of the result shows input columns 20 + 2u and 21 + 2u, brightness 4 · (20.5 + 2u).
    assert torch.allclose(image[0, 5].float(), 4 * (20.5 + 2 * torch.arange(10.0)), atol=1.5)


def test_a_view_of_the_centre_is_not_the_same_content_as_the_whole(root):
    whole, small, smaller = (open_source(f"folder:{root}", size=s) for s in (None, 12, 8))
    assert small.fingerprint(0) == smaller.fingerprint(0) != whole.fingerprint(0)


def test_unequal_sizes_are_named_with_the_cure(root):
    source = open_source(f"folder:{root}")
    data = WithImportance(source)
    with pytest.raises(UserError, match=r"\(3, 40, 24\).*\(3, 20, 30\).*--size"):
        collate([data[0], data[2]])
    with pytest.raises(UserError, match="--size"):
        Resident.load(source, progress=False)


def test_bad_folders(root, tmp_path_factory):
    with pytest.raises(UserError, match="not a folder"):
        open_source(f"folder:{root / 'none'}")
    empty = tmp_path_factory.mktemp("flat")
    picture(empty / "ape" / "a.png", 4, 4)
    with pytest.raises(UserError, match=r"'train' but ape.*train/CLASS"):
        open_source(f"folder:{empty}")
    picture(root / "test" / "gnu" / "b.png", 8, 8)
    with pytest.raises(UserError, match="'gnu'"):
        open_source(f"folder:{root}", "test")
    (root / "train" / "yak").mkdir()
    with pytest.raises(UserError, match="yak"):
        open_source(f"folder:{root}")


def test_a_part_of_a_part_keeps_the_fingerprints_of_its_files(root):
    """Maps of torch's own subsets are found again, by file, on both sides."""
    source = open_source(f"folder:{root}", size=6)
    part = TorchSubset(TorchSubset(source, [2, 0, 1]), [0, 2])
    store = aw.estimate(None, part, root / "part.maps", aw.CentrePrior(), progress=False)
    expected = [source.fingerprint(2), source.fingerprint(1)]
    assert store.hashes.tolist() == expected
    assert store.labels.tolist() == [1, 0]
    assert [as_source(part).fingerprint(i) for i in range(2)] == expected
    assert WithImportance(part, store)[1].index == 1
    assert store.attach(part).rows.tolist() == [0, 1]


def test_a_worker_says_what_is_wrong_in_one_line(root):
    loader = DataLoader(WithImportance(open_source(f"folder:{root}")), 3, collate_fn=collate, num_workers=1)
    with pytest.raises(UserError, match=r"^image 0 has shape") as told:
        list(loader)
    assert "\n" not in str(told.value)


def test_a_centre_crop_of_part_of_the_side_is_another_view(root):
    files = open_source(f"folder:{root}")
    whole, part = Resized(files, 8), Resized(files, 8, 0.5, "bicubic")
    assert part.fingerprint(0) == Resized(files, 12, 0.5).fingerprint(0) != whole.fingerprint(0)
    image = files[0][0]  # 40 high, 24 wide: resized to 27 × 16 (the middle 8 × 8 of it shows half of the shorter side)
    expected = vision.center_crop(vision.resize(image, [27, 16], InterpolationMode.BICUBIC, antialias=True), [8, 8])
    assert torch.equal(part[0][0], expected)
    with pytest.raises(UserError, match=r"share=1\.5"):
        Resized(files, 8, 1.5)


def test_whole_images_wait_in_squares_with_their_shapes_and_maps(root):
    files = open_source(f"folder:{root}")
    maps = np.random.default_rng(0).random((3, 5, 5)).astype(np.float32)
    resident = Resident.load(files, aw.ImportanceStore.from_maps(files, maps), progress=False, size=12)
    assert resident.stretch is not None
    assert resident.stretch.tolist() == pytest.approx([24 / 40, 1.0, 30 / 20])
    batch = resident.batch(torch.tensor([2, 0]))
    assert torch.equal(batch.images[0], vision.resize(files[2][0], [12, 12], antialias=True))
    assert torch.allclose(batch.evidence, torch.from_numpy(maps[[2, 0]].sum((1, 2))), rtol=2e-2)
