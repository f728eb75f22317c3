"""Gradients under attack: curvature against autograd's full Hessian, Eq. 4 by an eigendecomposition of it, and the
numbers of the verb measured again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import augwise as aw
from augwise import randomness
from augwise.analysis.analyse_gradients import EDGES
from augwise.analysis.input_curvature import input_curvature, input_gradient
from augwise.analysis.linf_attacks import fgsm, pgd
from augwise.report.gradients_page import PUBLISHED
from augwise.training.train import train
from augwise.training.trained import trained
from reference.training_toys import network

N = 18


def toys():
    """ReLUs and pooling in float64, and images of 4×5 px."""
    model = network(seed=3).double().eval()
    return model, torch.rand(4, 3, 4, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 1])


def slow_hessian(model, image, label):
    """All of it, by differentiating twice: (D, D)."""

    def loss(flat):
        return nn.functional.cross_entropy(model(flat.view(1, 3, 4, 5)), label[None])

    found = torch.autograd.functional.hessian(loss, image.flatten())
    assert isinstance(found, Tensor)
    return found


def test_gradient_and_curvature_are_autograds():
    model, images, labels = toys()
    found, slopes = input_curvature(model, images), input_gradient(model, images, labels)
    vectors = torch.randn_like(images)
    for i in range(4):
        given = images[i : i + 1].clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(nn.functional.cross_entropy(model(given), labels[i : i + 1]), given)
        torch.testing.assert_close(slopes[i], slope[0])
        full = slow_hessian(model, images[i], labels[i])
        torch.testing.assert_close(found.roots[i].T @ found.roots[i], full, atol=1e-12, rtol=1e-9)
        torch.testing.assert_close(found.times(vectors)[i].flatten(), full @ vectors[i].flatten())
        values = torch.linalg.eigvalsh(full)
        torch.testing.assert_close(found.values[i], values[-3:], atol=1e-12, rtol=1e-6)
        # As printed: over all eigenvalues, with eigenvectors of length 1.
        values, vectors_of = torch.linalg.eigh(full)
        for epsilon in (0.03, 2.0):
            along = (slopes[i].flatten() @ vectors_of).abs()
            printed = (((epsilon * values).exp() - 1).abs() * along * vectors_of.norm(dim=0)).sum()
            assert found.bound(slopes, epsilon)[i].item() == pytest.approx(printed.item(), rel=1e-6)
    assert not any(t.requires_grad for t in (slopes, found.roots, found.values))


def test_linear_logits_by_hand():
    """Logits (0, w·x): p = (1 − s, s), so H = s(1 − s) w wᵀ with one eigenvalue s(1 − s)|w|² along w, and
    g = (s − y) w: Eq. 4 is |exp(ε s(1 − s)|w|²) − 1| · |s − y| |w|."""
    w = torch.tensor([2.0, -1.0, 0.5, 3.0], dtype=torch.float64)

    class Linear(nn.Module):
        def forward(self, x):
            return torch.stack([torch.zeros(len(x), dtype=x.dtype), x.flatten(1) @ w], 1)

    image = torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=torch.float64).view(1, 1, 2, 2)
    s = torch.sigmoid(image.flatten() @ w).item()
    length = w.norm().item()
    found, g = input_curvature(Linear(), image), input_gradient(Linear(), image, torch.tensor([1]))
    torch.testing.assert_close(g.flatten(), (s - 1) * w)
    assert found.values[0, 1].item() == pytest.approx(s * (1 - s) * length**2)
    assert found.values[0, 0].item() == pytest.approx(0, abs=1e-12)
    wanted = np.expm1(0.1 * s * (1 - s) * length**2) * (1 - s) * length
    assert found.bound(g, 0.1).item() == pytest.approx(wanted)
    assert found.bound(g, 1e6).item() == float("inf")
    assert found.bound(torch.zeros_like(g), 1e6).item() == 0


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("gradients")
    ask = {"size": 8, "limit": 600, "eval_limit": N, "batch_size": 20, "quiet": True, "device": "cpu"}
    for seed, name in enumerate(("one", "two")):
        train(aw.TrainConfig(**ask, epochs=6, seed=seed, out=home / name))
    return home


def asked(root, out, *names, **changes):
    runs = tuple(root / name for name in names or ("one", "two"))
    on = aw.AnalyseRuns(runs, out=out, quiet=True, device="cpu", batch_size=7, seed=2)
    return aw.AnalyseGradients(on, **{"epsilons": ("2/255", "0.1"), "steps": 3, "limit": N, **changes})


def shown():
    source = aw.open_source("digits", "test", size=8, limit=N)
    return source, torch.stack([source[i][0] for i in range(N)]).float() / 255, torch.from_numpy(source.labels)


def measured(model, images, moved, labels):
    """(gradients, changes, right before, right after), image by image in float64 where it can be."""
    g, later = (input_gradient(model, x, labels).flatten(1).double().numpy() for x in (images, moved))
    with torch.no_grad():
        before, after = (np.asarray(model(x).argmax(1) == labels) for x in (images, moved))
    return g, later - g, before, after


@pytest.mark.parametrize("attack", ["pgd", "fgsm"])
def test_shares_are_those_of_the_pure_attacks(root, tmp_path, attack):
    found = aw.analyse(asked(root, tmp_path, attack=attack))
    source, images, labels = shown()
    noise = [torch.rand(3, 8, 8, generator=randomness.generator(2, "pgd", source.fingerprint(i))) for i in range(N)]
    start = 2 * torch.stack(noise) - 1
    assert [(row["run"], row["text"]) for row in found["rows"]] == [
        (name, text) for name in ("one", "two") for text in ("2/255", "0.1")
    ]
    for row in found["rows"]:
        model, epsilon = trained(root / row["run"]).model, row["epsilon"]
        moved = (
            fgsm(model, images, labels, epsilon)
            if attack == "fgsm"
            else pgd(model, images, labels, epsilon, start, 3, 2.5 / 3 * epsilon)
        ).images
        g, change, before, after = measured(model, images, moved, labels)
        pr = np.linalg.norm(change, axis=1) / np.linalg.norm(g, axis=1)
        assert row["accuracy"] == pytest.approx(before.mean())
        assert row["attacked"] == pytest.approx(after.mean())
        assert row["blind"] == 0
        for name, some in (("all", pr > 0), ("fooled", before & ~after)):
            assert row[name]["images"] == some.sum()
            if some.any():
                assert row[name]["median"] == pytest.approx(np.median(pr[some]), rel=1e-2)
                assert row[name]["below"] == pytest.approx((pr[some] < 0.01).mean())
        assert row["counts"] == np.histogram(np.log10(pr), EDGES)[0].tolist()
        curvature = input_curvature(model, images)
        line = curvature.times(moved - images).flatten(1).double().numpy()
        lengths = np.linalg.norm(g, axis=1)
        assert row["first_order"] == pytest.approx(np.median(np.linalg.norm(line, axis=1) / lengths), rel=1e-2)
        error = np.linalg.norm(change - line, axis=1) / np.linalg.norm(change, axis=1)
        assert row["error"] == pytest.approx(np.median(error), rel=2e-2)
        bound = curvature.bound(torch.from_numpy(g).view_as(images), epsilon).numpy()
        assert row["bound"] == pytest.approx(np.median(bound / lengths), rel=1e-2)
        assert row["bound_below"] == pytest.approx((bound / lengths < 0.01).mean(), abs=1.01 / N)
        assert row["holds"] == pytest.approx((np.linalg.norm(change, axis=1) <= bound).mean(), abs=1.01 / N)
    assert any(row["fooled"]["images"] > 1 for row in found["rows"])
    assert found["rows"][1]["all"]["median"] > found["rows"][0]["all"]["median"]
    page = (tmp_path / "report.html").read_text()
    assert "With ε = 2/255" in page
    assert "What Eq. 3 and 4 say" in page
    assert json.loads((tmp_path / "results.json").read_text())["kind"] == "gradients"


def test_a_small_step_does_what_the_first_order_says(root, tmp_path):
    """Within one linear piece of the network, which a tiny step rarely leaves, Eq. 3 holds."""
    found = aw.analyse(asked(root, tmp_path, "one", epsilons=("0.00005",), attack="fgsm"))
    (row,) = found["rows"]
    assert row["error"] < 0.02


def test_without_the_bound_and_images_without_a_gradient(root, tmp_path):
    found = aw.analyse(asked(root, tmp_path, "one", bound=False, epsilons=("0.1",)))
    assert "bound" not in found["rows"][0]
    assert "What Eq. 3 and 4 say" not in (tmp_path / "report.html").read_text()

    from augwise.analysis.analyse_gradients import _row

    three = {
        "gradient": np.array([2.0, 0.0, 4.0, 1.0]),
        "change": np.array([0.01, 1.0, 4.0, 0.0]),
        "before": np.array([True, True, True, False]),
        "after": np.array([True, False, False, False]),
    }
    row = _row(three)
    assert (row["blind"], row["rounded"]) == (0.25, 0.25)
    assert row["all"] == {"images": 3, "below": pytest.approx(2 / 3), "median": 0.005, "low": 0.001, "high": 0.801}
    assert row["fooled"] == {"images": 1, "below": 0.0, "median": 1.0, "low": 1.0, "high": 1.0}
    assert sum(row["counts"]) == 3
    assert row["counts"][0] == 1  # no change at all counts in the lowest bin


def test_the_printed_number_is_that_of_the_tables():
    path = Path(aw.__file__).parent / "recipes" / "published" / "ipf-rda.json"
    tables = {table["id"]: table for table in json.loads(path.read_text())}
    cell = tables["ipf-rda/figure-5"]["cells"]["share below 1%"]["CIFAR-10"]
    assert cell["mean"] / 100 == PUBLISHED


def test_what_cannot_be_meant(root, tmp_path):
    for changes, message in (
        ({"epsilons": ()}, "--epsilons needs at least one value"),
        ({"epsilons": ("8/255", "8/255")}, "--epsilons names 8/255 twice"),
        ({"epsilons": ("8",)}, "epsilon '8' is no bound in pixel values"),
        ({"attack": "cw"}, "attack 'cw' is unknown: use fgsm or pgd"),
        ({"steps": 0}, "--steps 0: give at least 1"),
        ({"alpha": 3.0}, "--alpha 3.0: give the step as a share of epsilon"),
        ({"limit": 0}, "--limit 0: give at least 1"),
    ):
        with pytest.raises(aw.UserError, match=message):
            aw.analyse(asked(root, tmp_path / "out", **changes))
    assert not (tmp_path / "out" / "results.json").exists()
