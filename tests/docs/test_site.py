"""The site: what is generated says what the code says, and the built pages hold together."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch
from markdown_code import DOCS

sys.path.insert(0, str(DOCS))
from builder import api, commands, compared, digits, docstrings, entries, mathtext, measured, mixed

from augwise import catalogue, cli
from augwise.labels import MixedLabels

# What is generated -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", catalogue.ENTRIES, ids=lambda e: e.name)
def test_every_entry_has_its_note(entry):
    note = entries.note(entry.name)
    assert note.title
    assert note.choose
    assert all(note.sections.values())


def test_no_note_is_left_over():
    assert {p.stem for p in entries.NOTES.glob("*.md")} == {e.name for e in catalogue.ENTRIES}


@pytest.mark.parametrize("verb", cli.VERBS)
def test_pages_of_verbs_name_the_flags_of_their_help(verb):
    for word, config in commands.configurations(verb).items():
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
            cli.main([verb, *([word] if word else []), "--help"])
        said = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text.getvalue()))
        listed = {f.name for f in commands.flags(config)}
        known = {flag for flag in said if not flag.startswith("--no-") or flag not in listed} - {"--help"}
        flags = {name for name in listed if name.startswith("--")}
        assert flags <= known, flags - known
        # Whatever else the help names it names in running text, or as the "no" of a switch.
        assert {f for f in known - flags if not f.startswith("--no-")} <= _mentioned(config)


def _mentioned(config: type) -> set[str]:
    return {flag for f in commands.flags(config) for flag in re.findall(r"--[a-z-]+", f.text)}


def test_arguments_of_every_entry_are_explained():
    for entry in catalogue.ENTRIES:
        for argument in docstrings.arguments(entry.load()):
            assert argument.text, f"{entry.name}: {argument.name}"


def test_docstrings_become_markdown():
    doc = """Does *it* with `Cutout` and ``x_y``.

        a_b = c * d          (Eq. 3)

    first, second: two things,
        on two lines. third: in
        the same breath; fourth: the last_one.
    - not for <you>
    """
    import inspect

    text = docstrings.markdown(inspect.cleandoc(doc), {"first", "second", "third", "fourth"}, {"third"})
    assert text.startswith("Does \\*it\\* with {py:obj}`Cutout <augwise.Cutout>` and `x_y`.")
    assert "```text\na_b = c * d          (Eq. 3)\n```" in text
    assert "`first`, `second`\n: two things, on two lines." in text
    assert "third" not in text
    assert "`fourth`\n: the last\\_one." in text


def test_a_formula_is_a_drawing_with_words():
    drawn = mathtext.svg(r"\frac{a}{b} < c")
    assert 'aria-label="\\frac{a}{b} &lt; c"' in drawn
    depth = float(re.search(r"vertical-align:(-[\d.]+)em", drawn)[1])  # pyright: ignore
    flat = float(re.search(r"vertical-align:(-[\d.]+)em", mathtext.svg("x"))[1])  # pyright: ignore
    assert depth < flat < 0  # the denominator hangs below the line


def test_measured_figures_are_read_and_never_missing():
    known = measured.results()["regions"]["guarded_cutout_32_ms"]
    assert measured.filled("[[ regions.guarded_cutout_32_ms | ms ]]") == f"{known:.1f} ms"
    with pytest.raises(Exception, match="no_such"):
        measured.filled("[[ regions.no_such | ms ]]")


def test_rows_that_beat_their_control_are_those_whose_interval_says_so():
    ran = measured.tables(compared.TABLES)
    rows = [row["differences"].get("guarded-control") for found in ran.values() for row in found.get("table", [])]
    known = [d for d in rows if d and d["low"] is not None]
    told = compared.pages()["tables/won.md"]
    assert told.count("| [") == sum(d["low"] > 0 for d in known) > 0
    assert f"Of {len(known)} rows; chance alone would put {0.025 * len(known):.1f} of them here." in told


def test_a_bar_is_divided_as_the_label_is():
    labels = MixedLabels(
        torch.tensor([[0, 2, 0], [3, 1, 1]]), torch.tensor([[0.5, 0.25, 0.25], [1, 0, 0]]), torch.tensor([0, 0.5])
    )
    both, doubted = mixed.shares_of(labels)
    assert (both, doubted) == ([(0, 0.75), (2, 0.25)], [(3, 0.5), (-1, 0.5)])
    assert mixed.in_words(both, ["a", "b", "c"]).replace("\N{NO-BREAK SPACE}", " ") == "a: 75 %, c: 25 %"
    picture = np.random.default_rng(0).integers(0, 255, (10, 16, 3)).astype(np.uint8)
    whole = mixed.barred(picture, both)
    assert (whole[: -mixed.BAR : mixed.SCALE, :: mixed.SCALE] == picture).all()
    lowest = [tuple(pixel) for pixel in whole[-1].tolist()]
    counts = [lowest.count(mixed.COLOURS[row]) for row in (0, 2)]
    assert counts == [47, 15]  # of 64, without a line of two between them
    assert lowest[:47] == [mixed.COLOURS[0]] * 47
    assert [tuple(p) for p in mixed.barred(picture, doubted)[-1, (0, 63)].tolist()] == [mixed.COLOURS[3], mixed.DOUBT]


def test_every_mixer_is_drawn_and_its_bar_is_its_colours(monkeypatch):
    """On flat images every pixel of a picture that cuts tells whose it is, and the bar below must say the same."""
    flat = digits.Digits(
        torch.zeros(4, 3, 32, 32, dtype=torch.uint8),
        torch.arange(4),
        list("abcd"),
        torch.rand(4, 32, 32),
        torch.nn.Identity(),
    )
    monkeypatch.setattr(mixed, "digits", lambda: flat)
    monkeypatch.setattr(mixed, "TRIES", 3)
    strips = mixed.mixers()

    def title(tile):
        return tile.caption.split("**")[1].replace("\N{ZERO WIDTH SPACE}", "")  # where a long name may break

    titles = {title(tile) for line in strips["mixers"] for tile in line}
    entries_of_it = [e for e in catalogue.methods().values() if e.kind == "mixing"]
    assert titles == {"Image", *(e.load().__name__ for e in entries_of_it)}
    grounds = mixed.tinted(flat.images)[:, :, 0, 0].numpy()
    for tile in [tile for strip in strips.values() for line in strip for tile in line]:
        if title(tile) not in ("Image", "CutMix", "DCutMix", "SaliencyDCutMix", "Saliency-DCutMix"):
            continue
        picture, bar = tile.pixels[: -mixed.BAR], tile.pixels[-1]
        for ground, colour in zip(grounds, mixed.COLOURS, strict=True):
            shown, said = (picture == ground).all(2).mean(), (bar == colour).all(1).mean()
            assert said == pytest.approx(shown, abs=0.03)


def test_every_public_name_is_documented():
    import augwise as aw

    documented = set(api.names())
    modules = {"data", "importance", "losses", "mixing", "models", "randomness", "regions", "training", "transforms"}
    modules |= {"adversarial", "reid", "selection"}
    assert {f"augwise.{name}" for name in aw.__all__} - documented == {
        f"augwise.{m}" for m in modules | {"__version__"}
    }


# What is built -----------------------------------------------------------------------------------------------------


class Links(HTMLParser):
    """Links, anchors, images and what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.images: list[tuple[str, str]] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.anchors.add(found["id"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "img":
            self.images.append((found.get("src", ""), found.get("alt", "")))
        if tag in ("img", "script", "iframe", "source") and found.get("src"):
            self.loaded.append(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    home = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", home / "trees"]
    made = subprocess.run([*command, DOCS, home / "html"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-3000:]
    return {page: _read(page) for page in sorted((home / "html").rglob("*.html"))}


def _read(page: Path) -> Links:
    links = Links()
    links.feed(page.read_text(encoding="utf-8"))
    return links


@pytest.mark.slow
def test_links_lead_somewhere_and_nothing_comes_from_elsewhere(site):
    for page, found in site.items():
        assert [src for src in found.loaded if urlsplit(src).netloc] == [], page
        for link in found.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                assert not parts.netloc.startswith("localhost")
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert target.exists(), f"{page.name} links to {link}"
            if parts.fragment and target in site:
                assert unquote(parts.fragment) in site[target].anchors, f"{page.name} links to {link}"


@pytest.mark.slow
def test_every_entry_verb_and_bridge_has_a_page(site):
    names = {"/".join(page.parts[-2:]).removesuffix(".html") for page in site}
    assert {f"{entries.folder(e)}/{e.name}" for e in catalogue.ENTRIES} <= names
    assert {f"cli/{verb}" for verb in cli.VERBS} <= names
    assert {f"bridges/{p.stem}" for p in (DOCS / "bridges").glob("*.md")} <= names


@pytest.mark.slow
def test_pictures_have_words(site):
    pictures = [(page, src, alt) for page, found in site.items() for src, alt in found.images]
    assert len(pictures) > 100
    assert [p for p in pictures if len(p[2]) < 8] == []
