"""Features and their plane: measured again by hand, the same at every call, and mistakes told."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

import augwise as aw
from augwise.analysis.clusters import spread
from augwise.training.train import train
from augwise.training.trained import trained

N = 45


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("embedding") / "run"
    train(aw.TrainConfig(size=16, limit=300, eval_limit=50, epochs=4, batch_size=20, out=out, quiet=True, device="cpu"))
    return out


def asked(run, out, **changes):
    on = aw.AnalyseRuns(runs=(run,), out=out, quiet=True, device="cpu", batch_size=20)
    return aw.AnalyseEmbedding(on, **{"perplexity": 8.0, "limit": N, **changes})


def test_numbers_are_those_of_the_features_before_the_head(run, tmp_path):
    manifold = pytest.importorskip("sklearn.manifold")
    found = aw.analyse(asked(run, tmp_path))
    model, source = trained(run).model, aw.open_source("digits", "test", size=16, limit=N)
    images = torch.stack([source[i][0] for i in range(N)]).float() / 255
    labels = torch.from_numpy(source.labels)
    with torch.no_grad():
        small = model.model
        features = small.features((images - model.mean) / model.std).mean((2, 3))  # pyright: ignore
        logits = small.head(features)  # pyright: ignore
        torch.testing.assert_close(logits, model(images))
    (told,) = found["runs"]
    assert told["dimensions"] == 64
    assert told["accuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())
    assert told["features"] == pytest.approx(spread(features, labels).told(), rel=1e-4)
    with np.load(tmp_path / "kept" / "run-plane.npz") as kept:
        mine = kept["plane"]
    with np.load(tmp_path / "kept" / "run-features.npz") as kept:
        np.testing.assert_allclose(kept["features"], features, atol=1e-5)
        plane = manifold.TSNE(perplexity=8, init="pca", random_state=0).fit_transform(kept["features"])
    np.testing.assert_allclose(mine, plane, rtol=1e-4)
    np.testing.assert_allclose(told["points"], mine, atol=6e-4)
    assert told["plane"] == spread(torch.from_numpy(mine), labels).told()
    assert found["labels"] == source.labels.tolist()
    assert found["classes"] == list(source.class_names)
    page = (tmp_path / "report.html").read_text()
    assert "Dunn index of the features" in page
    assert (tmp_path / "pictures" / "plane-run.svg").exists()


def test_the_same_at_every_call_and_another_plane_with_another_seed(run, tmp_path):
    pytest.importorskip("sklearn")
    first, second = (aw.analyse(asked(run, tmp_path / name))["runs"][0] for name in ("a", "b"))
    assert first == second
    on = aw.AnalyseRuns(runs=(run,), out=tmp_path / "c", quiet=True, device="cpu", batch_size=20, seed=3)
    other = aw.analyse(aw.AnalyseEmbedding(on, perplexity=20.0, limit=N))["runs"][0]
    assert other["features"] == first["features"]
    assert other["points"] != first["points"]


def test_the_missing_package_is_named_before_anything_is_read(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(aw.UserError, match=r't-SNE needs scikit-learn: pip install "augwise\[analysis\]"'):
        aw.analyse(asked(run / "nowhere", tmp_path))


def test_what_cannot_be_meant(run, tmp_path):
    pytest.importorskip("sklearn")
    for changes, message in (
        ({"perplexity": 0.5}, "--perplexity 0.5: give a number of neighbours"),
        ({"perplexity": float("nan")}, "--perplexity nan"),
        ({"perplexity": 45.0}, "--perplexity 45 of 45 images: give fewer neighbours"),
        ({"limit": 2}, "--limit 2: give at least 3"),
    ):
        with pytest.raises(aw.UserError, match=message):
            aw.analyse(asked(run, tmp_path / "out", **changes))
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_page_of_classes_with_one_image_each(run, tmp_path):
    pytest.importorskip("sklearn")
    found = aw.analyse(asked(run, tmp_path, limit=10, perplexity=3.0))
    assert sorted(found["labels"]) == list(range(10))
    assert found["runs"][0]["features"]["dunn"] is None
    assert "have no distances" in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "results.json").read_text())["kind"] == "embedding"
