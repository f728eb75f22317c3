"""Image files of every kind become the pixels one would see, and broken ones stop the work or are left out of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import augwise as aw
from augwise.data import WithImportance, left_out, limited, open_source
from augwise.data.image_files import check, decode, describe_left_out, header_size, unusable
from augwise.errors import UserError
from augwise.fingerprints import pixels

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (9, 14, 3), dtype=np.uint8)
TURNS = {  # what EXIF's orientation asks for, by hand
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],  # clockwise
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("AUGWISE_DATA", str(tmp_path_factory.mktemp("cache")))


def saved(path, image, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **how)
    return path


def seen(path):
    image = decode(path)
    assert image.dtype == torch.uint8
    assert check(path) is None
    assert header_size(path) == tuple(image.shape[1:])
    return image.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tif", "webp", "jpg"])
def test_orientation_turns_the_pixels(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a.{kind}", COLOUR, exif=exif, **({"lossless": True} if kind == "webp" else {}))
    plain = saved(tmp_path / f"plain.{kind}", COLOUR, **({"lossless": True} if kind == "webp" else {}))
    np.testing.assert_array_equal(seen(path), TURNS[orientation](seen(plain)))


def test_a_damaged_exif_block_turns_nothing(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.png", COLOUR, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + exif.tobytes()[14:])
    np.testing.assert_array_equal(seen(path), COLOUR)


@pytest.mark.parametrize("kind", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_not_cut_off(tmp_path, kind):
    values = RNG.integers(0, 65536, (6, 7)).astype(np.uint16)
    values[0, :4] = 0, 65535, 256, 128
    expected = np.floor(values / 257 + 0.5).astype(np.uint8)  # 65535 / 255 = 257
    path = saved(tmp_path / f"a.{kind}", values)
    np.testing.assert_array_equal(seen(path), np.repeat(expected[:, :, None], 3, 2))
    with Image.open(path) as image:  # as a wrapped data set hands it out
        np.testing.assert_array_equal(pixels(image)[0].numpy(), expected)


def test_sixteen_bits_of_either_byte_order():
    values = RNG.integers(0, 65536, (6, 7)).astype(np.uint16)
    expected = np.floor(values / 257 + 0.5).astype(np.uint8)
    big = Image.frombytes("I;16B", (7, 6), values.astype(">u2").tobytes())
    np.testing.assert_array_equal(pixels(big)[0].numpy(), expected)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_thirty_two_bits_have_no_known_range(tmp_path, mode):
    path = saved(tmp_path / "a.tif", Image.fromarray(COLOUR[:, :, 0]).convert(mode))
    with pytest.raises(UserError, match=r"a\.tif cannot be used.*32 bits per channel.*8 or 16"):
        decode(path)
    with Image.open(path) as image, pytest.raises(UserError, match="32 bits"):
        pixels(image)
    assert "32 bits" in str(check(path))


def test_transparent_pixels_lie_on_white(tmp_path):
    alpha = RNG.integers(0, 256, (9, 14), dtype=np.uint8)
    alpha[0, :3] = 0, 255, 128
    path = saved(tmp_path / "a.png", np.dstack([COLOUR, alpha]))
    share = alpha[:, :, None] / 255
    shown = seen(path)
    assert np.abs(shown - (COLOUR * share + 255 * (1 - share))).max() <= 1
    assert shown[0, 0].tolist() == [255, 255, 255]
    assert shown[0, 1].tolist() == COLOUR[0, 1].tolist()
    grey = saved(tmp_path / "grey.png", np.dstack([COLOUR[:, :, 0], alpha]))
    assert np.abs(seen(grey)[:, :, 0] - (COLOUR[:, :, 0] * share[:, :, 0] + 255 * (1 - share[:, :, 0]))).max() <= 1
    keyed = saved(tmp_path / "keyed.png", COLOUR, transparency=tuple(COLOUR[2, 3].tolist()))
    expected = np.where((COLOUR[2, 3] == COLOUR).all(2, keepdims=True), 255, COLOUR)
    np.testing.assert_array_equal(seen(keyed), expected)


def test_palettes_greys_and_cmyk_become_rgb(tmp_path):
    palette = Image.fromarray(COLOUR).convert("P", palette=Image.Palette.ADAPTIVE)
    for name, image in [
        ("palette.png", palette), ("palette.gif", palette), ("grey.png", Image.fromarray(COLOUR[:, :, 1])),
        ("bits.png", Image.fromarray(COLOUR[:, :, 1]).convert("1")),
        ("cmyk.tif", Image.fromarray(COLOUR).convert("CMYK")),
    ]:  # fmt: skip
        np.testing.assert_array_equal(seen(saved(tmp_path / name, image)), np.asarray(image.convert("RGB")))
    saved(tmp_path / "cmyk.jpg", Image.fromarray(COLOUR).convert("CMYK"), quality=100)
    assert np.abs(seen(tmp_path / "cmyk.jpg").astype(int).mean((0, 1)) - COLOUR.mean((0, 1))).max() < 5
    clear = palette.copy()
    path = saved(tmp_path / "clear.gif", clear, transparency=int(np.asarray(clear)[4, 5]))
    expected = np.where(
        (np.asarray(clear) == np.asarray(clear)[4, 5])[:, :, None], 255, np.asarray(clear.convert("RGB"))
    )
    np.testing.assert_array_equal(seen(path), expected)


def test_an_animation_is_its_first_picture(tmp_path):
    first, second = (Image.fromarray(COLOUR[:, :, c]).convert("P") for c in (0, 1))
    for name in ("a.gif", "a.png", "a.webp"):
        how = {"lossless": True} if name == "a.webp" else {}
        saved(tmp_path / name, first.convert("RGB"), save_all=True, append_images=[second.convert("RGB")], **how)
        np.testing.assert_array_equal(seen(tmp_path / name), np.asarray(first.convert("RGB")))


def test_every_cut_of_a_file_is_found_by_both_looks(tmp_path):
    """The quick look of `check` and `decode` agree, wherever a file ends."""
    photo = np.kron(RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
    for name, how in [
        ("a.jpg", {}), ("b.jpg", {"progressive": True}), ("a.png", {}), ("a.webp", {}), ("a.bmp", {}), ("a.tif", {}),
    ]:  # fmt: skip
        data = saved(tmp_path / name, photo, **how).read_bytes()
        for share in (0, 0.01, 0.3, 0.6, 0.9):
            (tmp_path / name).write_bytes(data[: int(share * len(data))])
            with pytest.raises(UserError, match=rf"{name} cannot be decoded.*--broken skip"):
                decode(tmp_path / name)
            assert check(tmp_path / name), (name, share)


@pytest.fixture
def root(tmp_path):
    for c, kind in enumerate(("ape", "newt", "zebra")):
        for i in range(6):
            picture = RNG.integers(0, 256, (10 + c, 12 + i % 2, 3), dtype=np.uint8)
            saved(tmp_path / "data" / "train" / kind / f"{i}.png", picture)
        shutil.copytree(tmp_path / "data" / "train" / kind, tmp_path / "data" / "test" / kind)
    return tmp_path / "data"


def spoil(path):
    path.write_bytes(path.read_bytes()[:60])
    return path


def everything(source):
    items = [source[i] for i in range(len(source))]
    hashes = [source.fingerprint(i) for i in range(len(source))]
    return [image.tolist() for image, _ in items], [label for _, label in items], hashes, source.class_names


def test_skipping_is_as_if_the_broken_files_were_not_there(root, tmp_path):
    broken = [spoil(root / "train" / name) for name in ("ape/3.png", "zebra/0.png", "zebra/1.png")]
    (root / "train" / "ape" / "empty.jpg").touch()
    broken.insert(1, root / "train" / "ape" / "empty.jpg")
    source = open_source(f"folder:{root}", broken="skip")
    small = limited(open_source(f"folder:{root}", size=8, broken="skip"), 9, seed=1)
    told = left_out(source, small)
    assert [file for file, _ in told] == [str(path) for path in broken]
    assert [file for file, _ in left_out(WithImportance(small))] == [str(path) for path in broken]
    assert all(reason and "broken" not in reason for _, reason in told)
    assert describe_left_out(told).count("\n") == 5
    shutil.copytree(root, tmp_path / "clean")
    for path in broken:
        (tmp_path / "clean" / path.relative_to(root)).unlink()
    clean = open_source(f"folder:{tmp_path / 'clean'}")
    assert everything(source) == everything(clean)
    assert everything(small) == everything(limited(open_source(f"folder:{tmp_path / 'clean'}", size=8), 9, seed=1))
    assert left_out(clean) == []
    assert describe_left_out([]) == ""


def test_stopping_names_the_file_and_the_cure(root):
    spoil(root / "train" / "newt" / "2.png")
    source = open_source(f"folder:{root}")
    with pytest.raises(UserError, match=r"newt/2\.png.*repair or remove it.*--broken skip"):
        source[8]
    (root / "train" / "newt" / "2.png").unlink()
    with pytest.raises(UserError, match=r"newt/2\.png.*--broken skip"):
        source.fingerprint(8)
    with pytest.raises(UserError, match="broken='maybe'"):
        open_source(f"folder:{root}", broken="maybe")  # pyright: ignore


def test_a_class_of_broken_files_alone_is_an_empty_one(root):
    for i in range(6):
        spoil(root / "train" / "newt" / f"{i}.png")
        spoil(root / "test" / "newt" / f"{i}.png")
    with pytest.raises(UserError, match=r"newt holds no images .* that can be decoded .*remove the folder"):
        open_source(f"folder:{root}", broken="skip")
    shutil.rmtree(root / "train" / "newt")
    with pytest.raises(UserError, match=r"'newt' of .*test is not a class.*add images of it"):
        open_source(f"folder:{root}", "test")
    for path in (root / "train").rglob("*.png"):
        path.unlink()
    with pytest.raises(UserError, match="ape holds no images"):
        open_source(f"folder:{root}")


def test_sound_files_are_not_looked_at_twice(root):
    files = sorted((root / "train").rglob("*.png"))
    bad = spoil(files[4])
    assert [file for file, _ in unusable(files)] == [str(bad)]
    state, other = files[7].stat(), files[7].read_bytes()
    files[7].write_bytes(other[:-20] + bytes(20))  # broken behind our back: same size, same time
    os.utime(files[7], ns=(state.st_atime_ns, state.st_mtime_ns))
    assert [file for file, _ in unusable(files)] == [str(bad)]
    (known,) = Path(os.environ["AUGWISE_DATA"]).glob("checked/*.json")
    content = known.read_text()
    known.write_text(content.replace('"pillow": "', '"pillow": "0.'))  # another decoder may think otherwise
    assert [file for file, _ in unusable(files)] == [str(bad), str(files[7])]
    known.write_text(content)
    assert [file for file, _ in unusable(files)] == [str(bad)]
    os.utime(files[7])
    bad.write_bytes(files[0].read_bytes())
    assert [file for file, _ in unusable(files)] == [str(files[7])]


@pytest.mark.parametrize("state", ["damaged", "foreign", "unwritable"])
def test_what_is_known_of_files_may_be_lost(root, state, monkeypatch, tmp_path):
    files = sorted((root / "train").rglob("*.png"))
    assert unusable(files) == []
    (known,) = (tmp_path.parent / os.environ["AUGWISE_DATA"]).glob("checked/*.json")
    if state == "unwritable":
        (tmp_path / "file").touch()
        monkeypatch.setenv("AUGWISE_DATA", str(tmp_path / "file"))
    else:
        known.write_text("{" if state == "damaged" else '{"folder": 1, "sound": []}')
    assert unusable(files) == []


def test_estimate_finds_files_that_are_no_images_before_the_first_map(root, tmp_path):
    """By headers, wherever they stand; also where all images are brought to one size."""
    spoil(root / "train" / "zebra" / "4.png").write_bytes(b"not an image")
    for path in [*root.glob("train/ape/*.png"), *root.glob("train/newt/*.png")]:
        saved(path, COLOUR)
    for size in (8, None):
        source = open_source(f"folder:{root}", size=size)
        with pytest.raises(UserError, match=r"zebra/4\.png cannot be decoded"):
            aw.estimate(None, source, tmp_path / "a.maps", aw.CentrePrior(), progress=False)
        assert not (tmp_path / "a.maps").exists()


def test_of_resized_files_the_size_is_known_without_decoding(root):
    whole, middle = open_source(f"folder:{root}"), open_source(f"folder:{root}", size=8)
    assert whole.image_size(13) == tuple(whole[13][0].shape[1:]) != (8, 8)
    assert middle.image_size(13) == tuple(middle[13][0].shape[1:]) == (8, 8)


def test_estimate_finds_the_one_image_of_another_size_among_many(tmp_path):
    for i in range(100):
        saved(tmp_path / "train" / "a" / f"{i:03}.png", COLOUR)
    exif = Image.Exif()
    exif[0x0112] = 6
    saved(tmp_path / "train" / "a" / "007.png", COLOUR.swapaxes(0, 1), exif=exif)  # upright it is like the others
    source = open_source(f"folder:{tmp_path}")
    aw.estimate(None, source, tmp_path / "a.maps", aw.CentrePrior(), progress=False)
    saved(tmp_path / "train" / "a" / "061.png", COLOUR.swapaxes(0, 1))
    with pytest.raises(UserError, match=r"row 61 has an image of shape \(3, 14, 9\).*--size"):
        aw.estimate(None, source, tmp_path / "b.maps", aw.CentrePrior(), progress=False)


def test_a_store_is_gone_on_with_after_the_broken_file_was_left_out(root, tmp_path):
    """Stopped by a truncated file, resumed without it: the store of a run that never saw it."""
    spoil(root / "train" / "newt" / "1.png")
    run = {"method": aw.CentrePrior(), "chunk_size": 4, "progress": False}
    for path in (root / "train").rglob("*.png"):
        if path.stat().st_size > 60:
            saved(path, RNG.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    header = (root / "train" / "ape" / "0.png").read_bytes()[:60]  # its header is sound
    (root / "train" / "newt" / "1.png").write_bytes(header)
    with pytest.raises(UserError, match=r"newt/1\.png"):
        aw.estimate(None, open_source(f"folder:{root}"), tmp_path / "a.maps", **run)
    assert (aw.ImportanceStore(tmp_path / "a.maps", allow_partial=True).status != 0).sum() == 4
    without = open_source(f"folder:{root}", broken="skip")
    resumed = aw.estimate(None, without, tmp_path / "a.maps", **run)
    fresh = aw.estimate(None, without, tmp_path / "b.maps", **run)
    for name in ("maps.npy", "scale.npy", "status.npy", "hashes.npy", "labels.npy", "meta.json"):
        assert (tmp_path / "a.maps" / name).read_bytes() == (tmp_path / "b.maps" / name).read_bytes()
    assert len(resumed) == len(fresh) == 17
