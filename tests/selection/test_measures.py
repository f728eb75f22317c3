"""The measures that variation is compared with: by hand, and against slow second implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from augwise.data import ArraySource
from augwise.errors import UserError
from augwise.selection import (
    el2n,
    error_norms,
    forgetting_counts,
    k_center,
    k_center_order,
    mc_dropout,
    random_scores,
)
from augwise.selection.outputs import features
from reference.selection import greedy_centres


def source(n=12, channels=2, height=3, width=5, classes=3):
    rng = np.random.default_rng(5)
    images = torch.from_numpy(rng.integers(0, 256, (n, channels, height, width), dtype=np.uint8))
    return ArraySource(images, np.arange(n) % classes, [f"c{i}" for i in range(classes)], "noise")


def network(features=6, classes=3, dropout=0.0, inputs=30):
    torch.manual_seed(2)
    layers = [nn.Flatten(), nn.Linear(inputs, features), nn.ReLU(), nn.Dropout(dropout), nn.Linear(features, classes)]
    return nn.Sequential(*layers).eval()


@pytest.mark.parametrize("seed", range(4))
def test_k_center_is_the_greedy_choice(seed):
    points = np.random.default_rng(seed).normal(size=(11, 3)) * [1, 5, 0.1]
    order = k_center_order(torch.from_numpy(points))
    assert order.tolist() == greedy_centres(points, 11)
    some = k_center_order(torch.from_numpy(points), most=4)
    assert some[:4].tolist() == order[:4].tolist()
    assert sorted(some.tolist()) == list(range(11))
    distance = [min(math.dist(points[i], points[j]) for j in some[:4]) for i in some[4:]]
    assert distance == sorted(distance, reverse=True)


def test_k_center_takes_copies_last_and_each_once():
    points = torch.tensor([[0.0], [0.0], [10.0], [10.0], [4.0]])
    assert k_center_order(points).tolist() == [4, 2, 0, 1, 3]  # mean 4.8, then the farthest; ties to the lower row
    assert k_center_order(points, most=2).tolist() == [4, 2, 0, 1, 3]


def test_k_center_scores_order_each_class_by_itself():
    data, model = source(), network()
    features = torch.relu(model[1]((data.images.float() / 255).flatten(1))).detach()
    scores = k_center(model, data, progress=False, batch_size=5)
    for label in range(3):
        members = np.flatnonzero(data.labels == label)
        expected = greedy_centres(features[members].double().numpy(), len(members))
        assert members[np.argsort(-scores[members])].tolist() == members[expected].tolist()
    whole = k_center(model, data, per_class=False, progress=False)
    assert np.argsort(-whole).tolist() == greedy_centres(features.double().numpy(), 12)


def convolutional():
    """Its last layer is a convolution, and what that is given is positive everywhere."""
    torch.manual_seed(4)
    layers = [nn.Conv2d(2, 6, 1), nn.Softplus(), nn.Conv2d(6, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers).eval()


def test_features_of_a_convolution_are_means_over_its_places():
    data, model = source(), convolutional()
    found = features(model, data, batch_size=5, progress=False)
    assert found.shape == (12, 6)
    for row in range(12):
        given = model[:2](data.images[row : row + 1].float() / 255)[0].detach()
        for channel in range(6):
            mean = sum(float(v) for v in given[channel].flatten()) / 15
            assert float(found[row, channel]) == pytest.approx(mean, rel=1e-5)


def test_el2n_by_hand():
    p = torch.tensor([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    found = error_norms(p, torch.tensor([0, 1, 2]))
    assert found.tolist() == pytest.approx([math.sqrt(0.09 + 0.04 + 0.01), 0, math.sqrt(2)])
    data, models = source(), [network(4), network(9)]
    scores = el2n(models, data, progress=False, batch_size=5)
    for row in range(12):
        image, label = data[row]
        errors = []
        for model in models:
            output = model(image[None].float() / 255)[0].softmax(0).tolist()
            errors.append(math.dist(output, [float(c == label) for c in range(3)]))
        assert scores[row] == pytest.approx(sum(errors) / 2, abs=1e-6)
    with pytest.raises(UserError, match="no networks"):
        el2n([], data)


def test_forgetting_by_hand():
    right = np.array(
        [  # always, learned late, forgotten twice, never, lost at the end
            [1, 0, 1, 0, 1],
            [1, 0, 0, 0, 1],
            [1, 1, 1, 0, 1],
            [1, 1, 0, 0, 0],
        ],
        dtype=bool,
    )
    assert forgetting_counts(right).tolist() == [0, 0, 2, 4, 1]
    with pytest.raises(UserError, match="give bools"):
        forgetting_counts(right.astype(int))


def test_chance_is_keyed_and_the_same_for_more_images():
    assert np.array_equal(random_scores(40, 3)[:25], random_scores(25, 3))
    assert not np.array_equal(random_scores(25, 3), random_scores(25, 4))
    many = random_scores(4000)
    assert many.min() >= 0
    assert many.max() < 1
    assert abs(many.mean() - 0.5) < 0.03


class Halves(nn.Module):
    """Logits 8 · feature for a single feature that is the first pixel, through the layer that drops it or not."""

    def __init__(self, dropout=None):
        super().__init__()
        self.dropout = nn.Identity() if dropout is None else nn.Dropout(dropout)
        self.head = nn.Linear(1, 2, bias=False)
        self.head.weight.data = torch.tensor([[8.0], [0.0]])
        self.eval()

    def forward(self, images):
        return self.head(self.dropout(images[:, 0, 0, :1]))


@pytest.mark.parametrize("own", [True, False])
def test_dropout_solved_by_hand(own):
    """One feature f that is dropped or doubled: outputs are σ(16 f) or ½, and their number tells the entropy."""
    images = torch.tensor([0, 20, 255], dtype=torch.uint8).view(3, 1, 1, 1).repeat(1, 1, 2, 3)
    data = ArraySource(images, np.zeros(3, np.int64), ["a", "b"], "one pixel")
    model, rate = (Halves(0.5), None) if own else (Halves(), 0.5)
    total = mc_dropout(model, data, passes=8, rate=rate, progress=False)
    mutual = mc_dropout(model, data, passes=8, rate=rate, of="mutual_information", progress=False)

    def entropy(p):
        return -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)

    assert total[0] == pytest.approx(math.log(2))
    assert mutual[0] == pytest.approx(0, abs=1e-12)
    for row, level in ((1, 20 / 255), (2, 1.0)):
        kept = 1 / (1 + math.exp(-16 * level))
        possible = {}
        for times in range(9):
            mean = (times * kept + (8 - times) * 0.5) / 8
            possible[times] = entropy(mean), entropy(mean) - (times * entropy(kept) + (8 - times) * math.log(2)) / 8
        times = min(possible, key=lambda t: abs(possible[t][0] - total[row]))
        assert 0 < times < 8
        assert total[row] == pytest.approx(possible[times][0], abs=1e-6)
        assert mutual[row] == pytest.approx(possible[times][1], abs=1e-6)


@pytest.mark.parametrize("rate", [None, 0.4])
def test_dropout_scores_do_not_depend_on_the_batch_and_go_on(rate, tmp_path):
    data, model = source(), network(dropout=0.3)
    one = mc_dropout(model, data, rate=rate, progress=False, batch_size=1)
    many = mc_dropout(model, data, rate=rate, progress=False, path=tmp_path / "kept.npz")
    assert np.allclose(one, many, atol=1e-6)
    assert not np.allclose(one, mc_dropout(model, data, rate=rate, seed=1, progress=False))
    assert np.array_equal(many, mc_dropout(model, data, rate=rate, progress=False, path=tmp_path / "kept.npz"))
    assert not model[4]._forward_pre_hooks
    assert not model[3]._forward_hooks


def test_dropout_drops_whole_channels_where_the_layer_does():
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 1), nn.Dropout2d(0.5), nn.Flatten(), nn.Linear(60, 3)]
    model, seen = nn.Sequential(*layers).eval(), []
    model[2].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    mc_dropout(model, source(), passes=3, progress=False)
    dropped = [(images == 0).flatten(2) for images in seen[1:]]
    assert all((d.all(2) | ~d.any(2)).all() for d in dropped)
    assert 0.3 < torch.stack([d.all(2).float().mean() for d in dropped]).mean() < 0.7


def test_dropout_before_a_convolution_drops_whole_channels():
    model, seen = convolutional(), []
    model[2].register_forward_hook(lambda _, given, __: seen.append(given[0]))
    mc_dropout(model, source(), passes=3, rate=0.5, progress=False)
    dropped = [(given == 0).flatten(2) for given in seen[1:]]
    assert all((d.all(2) | ~d.any(2)).all() for d in dropped)
    assert 0.3 < torch.stack([d.all(2).float().mean() for d in dropped]).mean() < 0.7


def test_every_image_pass_and_layer_has_a_mask_of_its_own():
    images = torch.full((12, 2, 3, 5), 255, dtype=torch.uint8)  # all alike: what differs are the masks
    data = ArraySource(images, np.arange(12) % 3, ["a", "b", "c"], "copies")
    torch.manual_seed(3)
    model, seen = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Dropout(0.5), nn.Linear(30, 3)).eval(), []
    model[3].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    scores = mc_dropout(model, data, passes=3, progress=False)
    assert len(np.unique(scores)) == 12
    given = torch.stack(seen[1:])  # but for the look at whether the model fits
    assert given.shape == (3, 12, 30)
    assert len(given.flatten(0, 1).unique(dim=0)) == 36
    assert float((given == 0).float().mean()) == pytest.approx(0.75, abs=0.05)  # of one mask for both layers half
    assert set(given.unique().tolist()) == {0.0, 4.0}


@pytest.mark.parametrize("change", [{"rate": 0.4}, {"passes": 4}, {"seed": 1}, {"of": "mutual_information"}])
def test_a_file_of_other_dropout_is_refused(change, tmp_path):
    ask = {"rate": 0.3, "passes": 3, "progress": False, "path": tmp_path / "kept.npz"}
    mc_dropout(network(), source(), **ask)
    with pytest.raises(UserError, match="another model, other data or other settings"):
        mc_dropout(network(), source(), **{**ask, **change})


def test_a_model_without_dropout_is_told_the_cure():
    with pytest.raises(UserError, match=r"no dropout layer: give rate=0.5"):
        mc_dropout(network(), source(), progress=False)
    with pytest.raises(UserError, match="rate=1"):
        mc_dropout(network(), source(), rate=1, progress=False)
