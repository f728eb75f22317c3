"""What LP-A3 makes of images, measured again by hand, and the page that shows it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import augwise as aw
from augwise.importance.grad_cam import grad_cam
from augwise.importance.grid import stretch
from augwise.report.gallery import read_gallery
from augwise.training.config import TrainConfig
from augwise.training.train import train
from augwise.training.trained import trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("farther") / "run"
    config = TrainConfig(size=16, limit=300, eval_limit=50, epochs=6, batch_size=20, out=out, quiet=True, device="cpu")
    train(config)
    return out


def asked(run, out, **changes):
    on = aw.AnalyseRuns(runs=(run,), out=out, quiet=True, device="cpu", seed=4)
    return aw.AnalyseFarther(on, **{"margins": (0.02, 0.3), "limit": 40, "shown": 3, **changes})


def test_numbers_and_pictures_are_those_of_the_model(run, tmp_path):
    found = aw.analyse(asked(run, tmp_path, form="tangent"))
    model, source = trained(run).model, aw.open_source("digits", "test", size=16, limit=40)
    images = torch.stack([source[i][0] for i in range(40)]).float() / 255
    labels = torch.from_numpy(source.labels)
    torch.manual_seed(4)
    erased = aw.RandAugment(2, 9)((images * 255).round().byte()).float() / 255
    made = [erased, *(aw.LPA3(model, form="tangent", margin=m)(images, labels) for m in (0.02, 0.3))]
    see = aw.PerceptualDistance(model)
    with torch.no_grad():
        right = model(images).argmax(1) == labels
        value = model(images).log_softmax(1).gather(1, labels[:, None])[:, 0]
    cams = [stretch(grad_cam(model, x, labels), 16, 16).flatten(1).numpy() for x in (images, *made)]
    assert [(row["method"], row["margin"]) for row in found["rows"]] == [
        ("randaugment", None),
        ("lpa3", 0.02),
        ("lpa3", 0.3),
    ]
    for row, x, cam in zip(found["rows"], made, cams[1:], strict=True):
        with torch.no_grad():
            assert row["distance"] == pytest.approx(float(see(x, images).mean()), rel=1e-4)
            logits = model(x)
        drop = value - logits.log_softmax(1).gather(1, labels[:, None])[:, 0]
        assert row["drop_median"] == pytest.approx(float(drop.median()), abs=1e-5)
        assert row["kept"] == pytest.approx(float((logits.argmax(1) == labels)[right].float().mean()))
        pairs = [np.corrcoef(a, b)[0, 1] for a, b in zip(cams[0], cam, strict=True) if a.std() > 0 and b.std() > 0]
        assert row["alike"] == pytest.approx(np.mean(pairs), abs=1e-3)
    assert [row["within"] for row in found["rows"]] == [None, 1.0, 1.0]
    assert found["rows"][2]["distance"] > found["rows"][1]["distance"] > 0.02

    (group,) = read_gallery(tmp_path)["groups"]
    assert len(group["examples"]) == 3
    assert len({example["label"] for example in group["examples"]}) == 3
    for example in group["examples"]:
        assert [tile["name"] for tile in example["tiles"]] == ["original", "randaugment", "lpa3 0.3", "change × 10"]
        i = next(k for k in range(40) if source.class_names[source.labels[k]] == example["label"])
        with torch.no_grad():
            p = model(images[i : i + 1]).softmax(1)[0]
        assert example["tiles"][0]["sure"] == pytest.approx(float(p[labels[i]]), abs=1e-5)
        assert example["tiles"][0]["right"] == bool(right[i])
    page = (tmp_path / "report.html").read_text()
    assert "At a margin of 0.3 nats LP-A3 goes" in page
    assert page.count("Grad-CAM</figcaption>") == 9
    assert json.loads((tmp_path / "results.json").read_text())["kind"] == "farther"


def test_what_cannot_be_meant(run, tmp_path):
    for changes, message in (
        ({"margins": (0.1, 0.0)}, "--margins 0.1 0.0: give numbers above 0"),
        ({"margins": ()}, "--margins"),
        ({"margins": (0.1, 0.1)}, "--margins names 0.1 twice"),
        ({"magnitude": 31}, "--magnitude 31: give 0 to 30"),
        ({"shown": 0}, "--shown 0: give at least 1"),
        ({"layers": ("nowhere",)}, "layer 'nowhere' is no part of the Normalized"),
        ({"layer": "nowhere"}, "layer 'nowhere' is no part of the Normalized"),
    ):
        with pytest.raises(aw.UserError, match=message):
            aw.analyse(asked(run, tmp_path / "out", **changes))
