"""The page of a store: its numbers against slow counts, its gallery complete, one file that needs no network."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import augwise as aw
from augwise.analysis.show import ShowConfig, show
from augwise.analysis.stores import StoreExport, StoreImport, StoreInfo, StoreVerify, store_info, stores
from augwise.data import open_source
from augwise.errors import UserError

RNG = np.random.default_rng(3)


class Page(HTMLParser):
    """Tags that are open, ids, links and pictures of a page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.pictures, self.albums = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag not in ("img", "meta", "link", "br"):
            self.open.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if tag == "a" else []
        if tag == "img":
            self.pictures.append((given["alt"], given["src"]))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def decoded(source):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1]))))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The first 90 digits with maps of a stretched grid; rows 5 and 50 failed, row 7 is still to be done."""
    folder = tmp_path_factory.mktemp("show") / "d.maps"
    data = open_source("digits", limit=90)
    maps = np.random.default_rng(0).random((90, 16, 8)) ** 6
    aw.ImportanceStore.from_maps(data, maps, folder)
    status = np.load(folder / "status.npy")
    status[[5, 50]], status[7] = 2, 0
    np.save(folder / "status.npy", status)
    return folder


def test_the_page_shows_each_class_and_says_how_many_of_how_many(digits, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert show(ShowConfig(store=digits, count=35, out=out, quiet=True)) == out
    assert "35 of them" in capsys.readouterr().out
    text = out.read_text()
    page = Page(text)
    assert page.open == []
    assert not re.findall(r"https?://|<script", text)
    assert "35 of 89 images drawn at random from each class" in " ".join(text.split())
    assert "89 of the 1000 images of digits have a finished map here; the store has 90 rows" in text
    assert {link[1:] for link in page.links} <= set(page.ids)
    shown = re.findall(r"<summary>(\d) <span>(\d+) of (\d+)</span>", text)
    assert [name for name, _, _ in shown] == [*"0123456789"]
    assert sorted(int(n) for _, n, _ in shown) == [3] * 5 + [4] * 5
    assert sum(int(n) for _, _, n in shown) == 89
    assert len(page.pictures) == 2 + 2 * 35
    source = open_source("digits")
    for alt, picture in page.pictures[2::2]:
        row, name = re.fullmatch(r"image (\d+), (\d)", alt).groups()
        assert source.labels[int(row)] == int(name)
        np.testing.assert_array_equal(decoded(picture), source[int(row)][0].permute(1, 2, 0).numpy())


def test_only_failed_attacks_on_request(digits, tmp_path):
    show(ShowConfig(store=digits, failed=True, out=tmp_path / "a.html", quiet=True))
    text = (tmp_path / "a.html").read_text()
    assert text.count("attack failed<") == 2
    assert "2 of 89 images, only such whose attack failed, drawn" in " ".join(text.split())


def test_photographs_of_mixed_sizes_stay_small_and_keep_their_shape(tmp_path):
    for i, (height, width) in enumerate([(300, 400), (500, 200), (260, 260)]):
        path = tmp_path / "data" / "train" / "cat & dog" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    source = open_source(f"folder:{tmp_path / 'data'}")
    aw.ImportanceStore.from_maps(source, np.ones((3, 5, 5)), tmp_path / "a.maps")
    show(ShowConfig(tmp_path / "a.maps", data=f"folder:{tmp_path / 'data'}", out=tmp_path / "a.html", quiet=True))
    text = (tmp_path / "a.html").read_text()
    assert "cat &amp; dog" in text
    pictures = Page(text).pictures[2:]
    shapes = {alt: decoded(picture).shape[:2] for alt, picture in pictures}
    assert shapes["image 0, cat & dog"] == shapes["importance of image 0"] == (120, 160)
    assert shapes["image 1, cat & dog"] == (160, 64)
    assert len(text) < 120_000


def test_a_png_is_one_picture(digits, tmp_path):
    show(ShowConfig(digits, count=6, out=tmp_path / "a.png", quiet=True))
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (4 * 66 * 3, 2 * 34 * 3)  # four pairs a row, two pixels between, three times as large
    with pytest.raises(UserError, match="neither a page nor a picture"):
        show(ShowConfig(digits, out=tmp_path / "a.xyz", quiet=True))


def test_stores_is_one_verb_for_four_things(digits, tmp_path, capsys):
    file, back = tmp_path / "d.augmaps", tmp_path / "back.maps"
    assert stores(StoreExport(digits, file, quiet=True)) == file
    assert len(stores(StoreImport(file, back, quiet=True))) == 90
    info = stores(StoreInfo(back))
    assert info == stores(StoreInfo(digits)) == store_info(back)
    assert info["images"] == "90: 89 done (2 of them failed), 1 to be done"
    assert info["method"] == "own maps"
    assert "export file" in stores(StoreInfo(file))["kind"]
    for data in (None, "digits"):
        with pytest.raises(UserError, match=r"is not sound:\n  wrong: 1 of 90 rows are still to be done"):
            stores(StoreVerify(back, data=data, quiet=True))
    status = np.load(back / "status.npy")
    status[7] = 1
    np.save(back / "status.npy", status)
    assert stores(StoreVerify(back, data="digits", limit=90, quiet=True)).problems == []
    assert "is sound: fits digits" in capsys.readouterr().out
    with pytest.raises(UserError, match="belongs to other data"):
        stores(StoreVerify(back, data="digits", split="test", quiet=True))


def test_a_strangers_words_do_not_steer_the_terminal(tmp_path, capsys):
    data = open_source("digits", limit=10)
    store = aw.ImportanceStore.from_maps(data, np.ones((10, 2, 2)), tmp_path / "a.maps")
    text = (tmp_path / "a.maps" / "meta.json").read_text()
    (tmp_path / "a.maps" / "meta.json").write_text(text.replace('"digits"', '"\\u001b[2J\\u009bdigits"'))
    stores(StoreInfo(store.path))
    assert "\x1b" not in (told := capsys.readouterr().out)
    assert "?[2J?digits" in told
