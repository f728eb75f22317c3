"""Jobs for the papers' pictures: what is in view of mixtures, what methods overwrite, networks side by side, and that
the page shows what they left."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import augwise as aw
from augwise.analysis.touched import touched
from augwise.catalogue import find, methods
from augwise.randomness import stream
from augwise.recipes.contents import find_recipe
from augwise.recipes.measuring import Attack
from augwise.recipes.pictured import Augmented, Beside, Mixed, in_view
from augwise.recipes.prepared import Prepared
from augwise.recipes.recipe import Where
from augwise.recipes.reproduce import ReproduceConfig, reproduce
from augwise.recipes.training import Maps, Training, training
from augwise.report.gallery import read_gallery
from augwise.sample import Batch
from augwise.training.config import TrainConfig

SMALL = TrainConfig(size=16, limit=60, eval_limit=40, epochs=2, batch_size=20, threads=1)


def mixed(mixer, images, importance, seed=4):
    with stream("pictures", seed):
        return mixer(Batch.of(images, torch.arange(len(images)), importance))


def test_of_even_importance_the_label_is_in_view():
    """Areas are weights, of any number of images; the importance of an image of zeros is nowhere."""
    even = torch.ones(12, 16, 20)
    for mixer in (aw.DCutMix(k=3, alpha=1 / 3), aw.CutMix(alpha=1.0), aw.SaliencyDCutMix(k=4, alpha=0.5)):
        found = in_view(mixer, even, 4)
        labels = mixed(mixer, torch.zeros(12, 3, 16, 20), even).labels
        weights = torch.zeros(12, 12).scatter_add_(1, labels.classes, labels.weights)
        torch.testing.assert_close(found.sort().values, weights[weights > 0].sort().values, atol=1e-5, rtol=0)
    even[3] = 0
    shown = mixed(aw.DCutMix(k=3, alpha=1 / 3), torch.zeros(12, 3, 16, 20), even).labels
    weights = torch.zeros(12, 12).scatter_add_(1, shown.classes, shown.weights)
    assert len(in_view(aw.DCutMix(k=3, alpha=1 / 3), even, 4)) == int((weights > 0).sum() - (weights[:, 3] > 0).sum())


def test_of_one_important_pixel_it_is_seen_or_not():
    torch.manual_seed(0)
    points = torch.zeros(20, 16, 16)
    places = torch.randint(0, 16, (20, 2))
    points[torch.arange(20), places[:, 0], places[:, 1]] = torch.rand(20) + 0.5
    mixer = aw.DCutMix(k=3, alpha=1 / 3)  # moves nothing
    owner = mixed(mixer, torch.arange(20.0)[:, None, None, None].expand(20, 3, 16, 16).clone(), points)
    labels, seen = owner.labels, []
    for i in range(20):
        for row in {int(c) for c, w in zip(labels.classes[i], labels.weights[i], strict=True) if w > 0}:
            y, x = places[row].tolist()
            seen.append(float(round(float(owner.images[i, 0, y, x])) == row))
    found = in_view(mixer, points, 4)
    assert sorted(found.tolist()) == pytest.approx(sorted(seen), abs=1e-5)
    assert 0 < found.mean() < 1
    # Boxes around the peak show it, unless the next box covers it.
    assert in_view(aw.SaliencyDCutMix(k=2, alpha=1.0), points, 4).mean() > in_view(mixer, points, 4).mean()


def test_what_methods_overwrite_is_measured_on_the_images_of_the_training(tmp_path):
    ways = [(arm, training(SMALL, "cutout", arm, Maps("centre"), length=8)) for arm in ("plain", "guarded", "control")]
    where = Where(tmp_path / "home", device="cpu", threads=1)
    found = [Augmented("Cutout", tuple(ways)).run(seed, tmp_path / str(seed), where).measured for seed in (0, 1)]
    assert found[0]["guarded evidence"] < found[0]["plain evidence"] - 0.01
    # All images have the same map: the centre's. Another image's is none better or worse.
    assert found[0]["control evidence"] == pytest.approx(found[0]["guarded evidence"])
    assert found[0]["plain evidence"] != found[1]["plain evidence"]  # other draws
    # By hand: a white square on black images shows what is cut.
    source = aw.open_source("digits", "train", size=16, limit=60)
    store = aw.ImportanceStore(next((tmp_path / "home" / "prepared").iterdir()) / "maps")
    maps = store.attach(source).read(np.arange(60)).as_subclass(torch.Tensor).float()
    step = find("cutout", methods()).load()(**dict(ways[1][1].steps[-1][1]))
    with stream("pictures", 0):
        cut = step(Batch.of(torch.full((60, 3, 16, 16), 0.3), torch.zeros(60, dtype=torch.long), maps)).images
    gone = (cut[:, 0] != cut[:, 0].flatten(1).mode(1).values[:, None, None]).float()
    by_hand = ((maps * gone).sum((1, 2)) / maps.sum((1, 2))).mean()
    assert found[0]["guarded evidence"] == pytest.approx(float(by_hand), abs=1e-4)
    (group,) = read_gallery(tmp_path / "0")["groups"]
    assert group["title"] == "Cutout"
    assert [tile["name"] for tile in group["examples"][0]["tiles"]] == [
        "image", "importance", "plain", "guarded", "control",
    ]  # fmt: skip


def test_control_is_guided_by_another_image_s_map(tmp_path):
    ways = [(arm, training(SMALL, "cutout", arm, Maps("corners"), length=8)) for arm in ("plain", "guarded", "control")]
    where = Where(tmp_path / "home", device="cpu", threads=1)
    found = Augmented("Cutout", tuple(ways)).run(1, tmp_path / "job", where).measured
    source = aw.data.limited(aw.open_source("digits", "train", size=16, limit=60), 60, 1)
    maps = aw.ImportanceStore(next((tmp_path / "home" / "prepared").iterdir()) / "maps").attach(source)
    own, foreign = (part.read(np.arange(60)).as_subclass(torch.Tensor).float() for part in (maps, maps.deranged(1)))
    for (arm, way), guide in zip(ways, (own, own, foreign), strict=True):
        step = find("cutout", methods()).load()(**dict(way.steps[-1][1]))
        expected = touched(step, own, guide, key=("pictures", 1)).means()
        assert found[f"{arm} evidence"] == pytest.approx(expected["importance_touched"])
    assert found["control evidence"] > found["guarded evidence"] + 0.01


def test_mixtures_of_the_same_images_stand_beside_each_other(tmp_path):
    plain = Training(SMALL, (("dcutmix", (("k", 3), ("p", 0.5))),))
    guided = Training(SMALL, (("saliencydcutmix", (("k", 3), ("p", 0.5))),), maps=Maps("centre"))
    where = Where(tmp_path / "home", device="cpu", threads=1)
    found = Mixed((("a", plain), ("b", guided))).run(2, tmp_path / "job", where)
    source = aw.data.limited(aw.open_source("digits", "train", size=16, limit=60), 60, 2)
    store = aw.ImportanceStore(next((tmp_path / "home" / "prepared").iterdir()) / "maps")
    own = store.attach(source).read(np.arange(60)).as_subclass(torch.Tensor).float()
    for name, mixer in (("a", aw.DCutMix(k=3)), ("b", aw.SaliencyDCutMix(k=3))):  # every image is mixed
        assert found.measured[f"{name} evidence"] == pytest.approx(float(in_view(mixer, own, 2).mean()))
    (group,) = read_gallery(tmp_path / "job")["groups"]
    for example in group["examples"]:
        assert [tile["name"] for tile in example["tiles"]] == ["first image", "a", "b"]
        shares = [float(part.split("(")[1].split(" %")[0]) for part in example["tiles"][1]["caption"].split(", ")]
        assert sum(shares) == pytest.approx(100, abs=2)
        assert shares == sorted(shares, reverse=True)


def test_networks_stand_beside_each_other_under_their_rows_names(tmp_path):
    rows = (("as it is", training(SMALL)), ("cut", training(SMALL, "cutout", length=12)))
    where = Where(tmp_path / "home", device="cpu", threads=1)
    found = Beside(rows, 40).run(1, tmp_path / "job", where)
    for name, network in rows:
        kept = json.loads((network.kept(1, where) / "results.json").read_text())
        assert found.measured[f"{name} accuracy"] == pytest.approx(kept["test"]["last_accuracy"])
        assert 0 < found.measured[f"{name} covers"] <= 1
    (group,) = read_gallery(tmp_path / "job")["groups"]
    assert {tuple(tile["name"] for tile in example["tiles"]) for example in group["examples"]} == {
        ("original", "as it is", "cut")
    }


def test_an_attack_leaves_pictures_where_they_are_asked_for(tmp_path):
    maps = Maps("cdiea", (("epsilon", 0.1), ("steps", 10)), base=(("epochs", 1),))
    where = Where(tmp_path / "home", device="cpu", threads=1)
    Attack(Prepared(SMALL, maps), shown=5).run(0, tmp_path / "shown", where)
    Attack(Prepared(SMALL, maps)).run(0, tmp_path / "counted", where)
    (group,) = read_gallery(tmp_path / "shown")["groups"]
    assert len(group["examples"]) == 5
    assert len({example["label"] for example in group["examples"]}) == 5  # classes evenly
    assert not (tmp_path / "counted" / "gallery.json").exists()
    assert not (tmp_path / "shown" / "maps").exists()


def test_the_page_of_a_figure_shows_what_its_jobs_left(tmp_path):
    asked = ReproduceConfig(
        "ipf-rda/figure-3", rows=("Cutout", "HaS"), seeds=1, jobs=1, device="cpu", quiet=True, out=tmp_path
    )
    found = reproduce(asked)
    page = (tmp_path / "ipf-rda/figure-3/tiny/report.html").read_text()
    for row in asked.rows:
        cells = found["tables"][0]["cells"][row]
        assert cells["guarded"]["mean"] < cells["plain"]["mean"]
        job = find_recipe(asked.recipe).scales["tiny"]
        assert f'<h2 id="pictures-{asked.rows.index(row)}">{row}</h2>' in page, job
    assert page.count("<figcaption>guarded: ") == 6
