"""Class activation maps: CAM as the special case of Grad-CAM, numbers measured again by hand, and the page."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import augwise as aw
from augwise.analysis.activation_maps import class_map, correlation, ends_in_pooling, mass_within, spread
from augwise.importance.grad_cam import grad_cam
from augwise.importance.grid import stretch
from augwise.models.build import build
from augwise.report.gallery import read_gallery
from augwise.training.train import train
from augwise.training.trained import trained
from reference.training_toys import network


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two seeds and a network that ends otherwise: images of 12×16 px, and a store of maps of the test images."""
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("cam")
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 90), ("test", 30)):
        labels = np.arange(n) % 3
        images = rng.integers(0, 60, (n, 12, 16, 3), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[3:8, 5 * label : 5 * label + 5, label] += 150
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    np.savez(home / "toys.npz", **arrays, class_names=np.array(["cat", "dog", "owl"]))
    ask = {"batch_size": 15, "tensorboard": False, "quiet": True, "data": f"npz:{home / 'toys.npz'}"}
    for name, seed in (("one", 0), ("two", 1)):
        train(aw.TrainConfig(**ask, epochs=6, seed=seed, out=home / name))
    train(aw.TrainConfig(**ask, epochs=1, model="torchvision:shufflenet_v2_x0_5", out=home / "other"))
    source = aw.open_source(f"npz:{home / 'toys.npz'}", "test")
    maps = rng.random((30, 12, 16)).astype(np.float32)
    maps[4] = 0
    aw.ImportanceStore.from_maps(source, maps, home / "own.maps")
    return home


def asked(root, out, *names, **given):
    runs = tuple(root / name for name in names or ("one", "two"))
    on = aw.AnalyseRuns(runs, out=out, quiet=True, device="cpu", batch_size=8)
    return aw.AnalyseCam(on, **{"limit": None, "shown": 2, **given})


def test_cam_is_the_special_case_of_grad_cam_where_the_network_ends_in_pooling():
    """Zhou et al. 2016, Eq. 2, by hand: M = Σ_k w_k A_k, here over 3 × 4 places."""
    model = build("small_cnn", 3, seed=1).eval()
    images, labels = torch.rand(5, 3, 12, 16), torch.tensor([0, 1, 2, 1, 0])
    with torch.no_grad():
        features = model.features(images)  # pyright: ignore
        by_hand = torch.zeros(5, 3, 4)
        for n in range(5):
            for k in range(64):
                by_hand[n] += model.head.weight[labels[n], k] * features[n, k]  # pyright: ignore
    assert by_hand.min() < 0 < by_hand.max()
    found = grad_cam(model, images, labels, of="logit")
    torch.testing.assert_close(found, by_hand.clamp_min(0) / 12, atol=1e-7, rtol=1e-4)
    torch.testing.assert_close(class_map(model, images, labels), stretch(found, 12, 16))
    # Its mean, with what speaks against the label, is the logit without its bias.
    with torch.no_grad():
        logits = model(images)[torch.arange(5), labels] - model.head.bias[labels]  # pyright: ignore
    torch.testing.assert_close(by_hand.mean((1, 2)), logits, atol=1e-5, rtol=1e-4)


def test_who_ends_in_pooling_is_seen_in_the_numbers():
    images = torch.rand(3, 3, 32, 32)
    small = build("small_cnn", 3, seed=0).eval()
    assert ends_in_pooling(small, images)
    assert ends_in_pooling(aw.Normalized(small, [0.4] * 3, [0.2] * 3), images)
    assert not ends_in_pooling(small, images, "features.0")
    assert not ends_in_pooling(network().eval(), images)  # pools to 2 × 2 places
    assert not ends_in_pooling(build("torchvision:squeezenet1_1", 3).eval(), torch.rand(2, 3, 64, 64))

    class Doubled(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = small

        def forward(self, x):
            return 2 * self.inner(x)

    assert not ends_in_pooling(Doubled().eval(), images)
    assert ends_in_pooling(build("torchvision:resnet18", 3).eval(), torch.rand(2, 3, 64, 64))


def test_likeness_and_mass_by_hand():
    a = torch.tensor([[[1.0, 2.0], [3.0, 6.0]], [[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    b = torch.tensor([[[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]])
    found = correlation(a, b)
    assert found[0].item() == pytest.approx(np.corrcoef([1, 2, 3, 6], [0, 1, 1, 0])[0, 1])
    assert found[1:].isnan().all()
    mass = mass_within(a, b > 0)
    assert mass[:2].tolist() == pytest.approx([5 / 12, 0.5])
    assert mass[2].isnan()
    covered = spread(a)
    assert covered[:2].tolist() == [0.5, 1.0]
    assert covered[2].isnan()


def test_numbers_and_pictures_are_those_of_the_models(root, tmp_path):
    found = aw.analyse(asked(root, tmp_path, maps=root / "own.maps", share=0.25))
    source = aw.open_source(f"npz:{root / 'toys.npz'}", "test")
    images = torch.stack([source[i][0] for i in range(30)]).float() / 255
    labels = torch.from_numpy(source.labels)
    attached = aw.ImportanceStore(root / "own.maps").attach(source)
    own, other = (maps.read(np.arange(30)).numpy() for maps in (attached, attached.deranged(0)))
    models = {name: trained(root / name).model for name in ("one", "two")}
    cams = {n: stretch(grad_cam(m, images, labels, of="logit"), 12, 16).numpy() for n, m in models.items()}
    for run in found["runs"]:
        assert run["kind"] == "CAM"
        with torch.no_grad():
            p = models[run["name"]](images).softmax(1)
        assert run["accuracy"] == pytest.approx((p.argmax(1) == labels).double().mean().item())
        cam = cams[run["name"]]
        assert run["empty"] == pytest.approx(np.mean([c.max() == 0 for c in cam]))
        known = [c for c in cam if c.max() > 0]
        assert run["covers"] == pytest.approx(np.mean([np.mean(c >= c.max() / 2) for c in known]), abs=1e-4)
        shares = {"on_important": [], "on_other": [], "area": []}
        for i in range(30):
            if cam[i].max() == 0 or own[i].max() == 0 or other[i].max() == 0:
                continue
            total = float(cam[i].sum())
            for key, importance in (("on_important", own[i]), ("on_other", other[i])):
                limit = np.sort(importance.ravel())[144 - 1]  # 75 % of 192 pixels
                shares[key].append(cam[i][importance >= limit].sum() / total)
            shares["area"].append(np.mean(own[i] >= np.sort(own[i].ravel())[144 - 1]))
        assert len(shares["area"]) <= 29  # one image has no importance, another was given its map
        for key, values in shares.items():
            assert run[key] == pytest.approx(np.mean(values), rel=1e-4)
    pairs = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(*cams.values(), strict=True) if a.std() * b.std()]
    (pair,) = found["pairs"]
    assert (pair["runs"], pair["images"]) == (["one", "two"], len(pairs))
    assert pair["alike"] == pytest.approx(np.mean(pairs), abs=1e-4)

    (group,) = read_gallery(tmp_path)["groups"]
    assert [example["label"] for example in group["examples"]] == ["cat", "dog"]
    for i, example in enumerate(group["examples"]):
        assert [tile["name"] for tile in example["tiles"]] == ["original", "one", "two"]
        for tile in example["tiles"][1:]:
            with torch.no_grad():
                p = models[tile["name"]](images[i : i + 1]).softmax(1)[0]
            assert tile["sure"] == pytest.approx(p.max().item(), abs=1e-5)
            assert tile["right"] == (int(p.argmax()) == i)
            assert tile["guess"] == ["cat", "dog", "owl"][int(p.argmax())]
    page = (tmp_path / "report.html").read_text()
    assert "that matter most by the store lie of the maps: " in page.replace("\n", " ")
    assert page.count("<figcaption>one: ") == 2
    assert json.loads((tmp_path / "results.json").read_text())["kind"] == "cam"


def test_networks_that_end_otherwise_and_one_run_alone(root, tmp_path):
    (run,) = aw.analyse(asked(root, tmp_path, "other", limit=6))["runs"]
    assert run["kind"] == "Grad-CAM"
    assert run["on_important"] is run["on_other"] is None
    page = (tmp_path / "report.html").read_text()
    assert "the network ends otherwise" in page
    assert "How alike" not in page
    # Runs without a store: the two that differ are named.
    aw.analyse(asked(root, tmp_path / "pair", limit=6))
    assert "Least alike are the maps of one and two" in (tmp_path / "pair" / "report.html").read_text()


def test_what_cannot_be_meant(root, tmp_path):
    other = aw.ImportanceStore.from_maps(
        [(np.full((3, 12, 16), i, np.uint8), 0) for i in range(3)], np.ones((3, 12, 16)), tmp_path / "other.maps"
    )
    for changes, message in (
        ({"share": 0.0}, "--share 0.0: give a share of the pixels between 0 and 1"),
        ({"share": 1.0}, "--share 1.0"),
        ({"shown": 0}, "--shown 0: give at least 1"),
        ({"limit": 1}, "--limit 1: give at least 2"),
        ({"layer": "nowhere"}, "layer 'nowhere' is no part of the Normalized"),
        ({"layer": "head"}, "gives .* no feature map"),
        ({"maps": tmp_path / "nowhere.maps"}, "nowhere.maps"),
        ({"maps": other.path}, "belongs to other data"),
    ):
        with pytest.raises(aw.UserError, match=message):
            aw.analyse(asked(root, tmp_path / "out", **changes))
