"""The loss of an image under mixing: what is drawn, what is mixed, what is measured, and that work goes on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from augwise.data import ArraySource
from augwise.errors import UserError
from augwise.selection import coefficient_of_variation, kept, loss_std, mean_loss, mix_anchors, mixed_losses
from augwise.selection.variation import draw_mixes
from reference.selection import mixed_loss

HOW = {"anchor_share": 0.3, "alpha": (0.5, 0.9), "mixes": 4, "seed": 3}


def source(n=9, channels=3, height=10, width=7, classes=3):
    rng = np.random.default_rng(n)
    images = torch.from_numpy(rng.integers(0, 256, (n, channels, height, width), dtype=np.uint8))
    return ArraySource(images, np.arange(n) % classes, [f"c{i}" for i in range(classes)], "noise")


def linear(channels=3, height=10, width=7, classes=3):
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, classes)).eval()


class Level(nn.Module):
    """Logits (3 · mean of the pixels, 0)."""

    def forward(self, images):
        level = 3 * images.mean((1, 2, 3))
        return torch.stack([level, torch.zeros_like(level)], 1)


class Stopping(nn.Module):
    """A model that is interrupted after some batches, and counts them."""

    def __init__(self, model, after=None):
        super().__init__()
        self.model, self.after, self.calls = model, after, 0
        self.eval()

    def forward(self, images):
        self.calls += 1
        if self.calls == self.after:
            raise KeyboardInterrupt
        return self.model(images)

    def extra_repr(self):
        return ""


@pytest.mark.parametrize("mixer", ["dcutmix", "dmixup"])
@pytest.mark.parametrize("channels", [1, 3])
def test_losses_are_those_of_one_mix_at_a_time(mixer, channels):
    data, model = source(channels=channels), linear(channels)
    found = mixed_losses(model, data, mixer=mixer, **HOW, progress=False, batch_size=7)
    for row in range(len(data)):
        outputs = []
        for m in range(4):
            loss, output = mixed_loss(model, data.images, data.labels.tolist(), mixer, row, m, **HOW)
            assert found.losses[row, m] == pytest.approx(loss, abs=1e-5)
            outputs.append(output)
        assert np.allclose(found.predictive[row], np.mean(outputs, 0), atol=1e-6)
    assert np.allclose(found.predictive.sum(1), 1, atol=1e-6)
    assert len(np.unique(found.losses)) > 30


def test_partners_are_others_each_once_and_all_alike():
    n, counts = 5, np.zeros(5)
    for seed in range(150):
        draw = draw_mixes(1, n, 0.25, (1.0, 1.0, 1.0), 8, seed)
        assert draw.partners.shape == (8, 3)
        for partners in draw.partners.tolist():
            assert len({1, *partners}) == 4
        counts += np.bincount(draw.partners[:, 0].numpy(), minlength=n)
    assert counts[1] == 0
    others = counts[[0, 2, 3, 4]]
    assert ((others - 300) ** 2 / 300).sum() < 16.3  # chi-squared, 3 degrees of freedom, p = 0.001
    draw = draw_mixes(2, 4, 0.25, (1.0, 1.0, 1.0), 8, 0)  # just enough
    assert all(sorted(p) == [0, 1, 3] for p in draw.partners.tolist())


def test_draws_are_keyed_by_seed_and_row():
    one, same, other, elsewhere = (draw_mixes(r, 20, **{**HOW, "seed": s}) for r, s in [(4, 3), (4, 3), (4, 4), (5, 3)])
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one.shares, other.shares)
    assert not torch.equal(one.shares, elsewhere.shares)


def test_shares_are_what_the_anchor_leaves():
    shares = torch.cat([draw_mixes(r, 9, 0.3, (0.5, 1.5), 200, 0).shares for r in range(20)])
    assert (shares[:, 0] == 0.3).all()
    assert torch.allclose(shares.sum(1), torch.ones(4000, dtype=torch.float64))
    rest = shares[:, 1] / 0.7  # Beta(0.5, 1.5): mean 1/4, variance 1/16
    assert rest.mean().item() == pytest.approx(0.25, abs=0.02)
    assert rest.var().item() == pytest.approx(1 / 16, abs=0.005)


@pytest.mark.parametrize(("height", "width"), [(10, 7), (9, 16)])
def test_the_anchor_keeps_one_share_of_the_pixels_in_every_mix(height, width):
    """Measured from pictures of unique constant colours: label weight is pixel mass, and the anchor's never changes."""
    draws = [draw_mixes(r, 6, 1 / 3, (2 / 9, 2 / 9), 50, 0) for r in range(6)]
    shares, position = (torch.cat([d[i] for d in draws]) for i in (1, 2))
    colours = torch.tensor([0.1, 0.5, 0.9])
    parts = colours.view(1, 3, 1, 1, 1).expand(len(shares), 3, 1, height, width)
    mixed, weights = mix_anchors(parts[:, 0], parts[:, 1:], shares, position)
    seen = torch.stack([(mixed == c).double().mean((1, 2, 3)) for c in colours], 1)
    assert torch.allclose(seen, weights, rtol=0, atol=1e-12)
    inner = round(height * math.sqrt(2 / 3)) * round(width * math.sqrt(2 / 3))
    assert weights[:, 0].unique().tolist() == [pytest.approx(1 - inner / (height * width), abs=1e-12)]
    blended, weights = mix_anchors(parts[:, 0], parts[:, 1:], shares, position, "dmixup")
    assert (weights[:, 0] == 1 / 3).all()
    assert torch.allclose(blended[:, 0, 0, 0].double(), weights @ colours.double(), atol=1e-6)


def test_a_model_solved_by_hand():
    """Two grey levels mixed half and half: only who is mixed in matters, and there are two of them."""
    levels, labels = [0, 102, 255], [0, 1, 0]
    images = torch.tensor(levels, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 4, 6).contiguous()
    data = ArraySource(images, np.array(labels), ["bright", "dark"], "levels")
    found = mixed_losses(Level().eval(), data, mixer="dmixup", anchor_share=0.5, alpha=(1.0,), mixes=40, progress=False)
    for row in range(3):
        expected = {}
        for other in {0, 1, 2} - {row}:
            z = 3 * (levels[row] + levels[other]) / 2 / 255
            bright = 1 / (1 + math.exp(-z))
            expected[other] = -sum(math.log((bright, 1 - bright)[labels[k]]) for k in (row, other)) / 2
        a, b = expected.values()
        share = np.isclose(found.losses[row], a, atol=1e-5)
        assert (share | np.isclose(found.losses[row], b, atol=1e-5)).all()
        p = share.mean()
        assert 0 < p < 1
        mean, deviation = p * a + (1 - p) * b, math.sqrt(p * (1 - p)) * abs(a - b)
        one = found.losses[row : row + 1]
        assert mean_loss(one)[0] == pytest.approx(mean, abs=1e-5)
        assert loss_std(one)[0] == pytest.approx(deviation, abs=1e-5)
        assert coefficient_of_variation(one)[0] == pytest.approx(deviation / mean, abs=1e-5)


def test_measures_of_losses_by_hand():
    losses = np.array([[1.0, 3.0], [2.0, 2.0], [0.0, 0.0]])
    assert coefficient_of_variation(losses).tolist() == [0.5, 0, 0]
    assert mean_loss(losses).tolist() == [2, 2, 0]
    assert loss_std(losses).tolist() == [1, 0, 0]


def test_a_score_does_not_depend_on_the_batch():
    data, model = source(), linear()
    one = mixed_losses(model, data, **HOW, progress=False, batch_size=1)
    many = mixed_losses(model, data, **HOW, progress=False, batch_size=1000)
    assert np.allclose(one.losses, many.losses, atol=1e-6)


def test_what_is_resumed_equals_what_ran_through(tmp_path):
    data, model, how = source(300, 1, 4, 5), linear(1, 4, 5), {**HOW, "progress": False, "batch_size": 50}
    whole = Stopping(model)
    expected = mixed_losses(whole, data, **how)
    path = tmp_path / "kept.npz"
    with pytest.raises(KeyboardInterrupt):
        mixed_losses(Stopping(model, after=whole.calls - 3), data, **how, path=path)
    rest = Stopping(model)
    found = mixed_losses(rest, data, **how, path=path)
    assert rest.calls < whole.calls / 2
    for a, b in zip(found, expected, strict=True):
        assert a.tobytes() == b.tobytes()
    again = Stopping(model)
    mixed_losses(again, data, **how, path=path)
    assert again.calls == 2  # a look at whether it fits, and at how many classes it knows


def test_what_is_done_is_kept_before_all_is(tmp_path, monkeypatch):
    """So that what ends without a word, by a kill or a power cut, loses little."""
    monkeypatch.setattr(kept, "_OFTEN", -1.0)  # seconds: after every block
    path, found = tmp_path / "kept.npz", []

    def compute(rows):
        if path.exists():
            with np.load(path) as file:
                found.append(int(file["done"].sum()))
        return {"x": np.arange(rows.start, rows.stop)}

    made = kept.Kept({"x": np.full(7, -1)}, path, {}).fill(3, compute, "counting", False)
    assert found == [3, 6]
    assert made["x"].tolist() == list(range(7))


def test_images_that_do_not_fit_in_memory_are_read_anew(monkeypatch):
    from augwise.selection import pictures

    data, model = source(), linear()
    expected = mixed_losses(model, data, **HOW, progress=False)
    monkeypatch.setattr(pictures.Pictures.__init__, "__defaults__", ("cpu", True, 0))
    found = mixed_losses(model, data, **HOW, progress=False)
    assert found.losses.tobytes() == expected.losses.tobytes()


def test_a_file_of_other_numbers_is_refused(tmp_path):
    path, model, images, labels = tmp_path / "kept.npz", linear(), source(), source()
    mixed_losses(linear(), source(), **HOW, progress=False, path=path)
    model[1].weight.data[0, 0] += 1
    images.images[0] = 255 - images.images[0]
    labels.labels = (labels.labels + 1) % 3
    how = [{"seed": 4}, {"mixes": 5}, {"alpha": (0.5, 1.0)}, {"anchor_share": 0.4}, {"mixer": "dmixup"}]
    others = [(model, source(), {}), (linear(), images, {}), (linear(), labels, {})]
    for asked, data, change in [*others, *((linear(), source(), change) for change in how)]:
        with pytest.raises(UserError, match="another model, other data or other settings"):
            mixed_losses(asked, data, **{**HOW, **change}, progress=False, path=path)
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="damaged"):
        mixed_losses(linear(), source(), **HOW, progress=False, path=path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mixer": "cutmix"}, "mixer='cutmix'"),
        ({"anchor_share": 1.0}, "anchor_share=1.0"),
        ({"anchor_share": 0.0}, "anchor_share=0.0"),
        ({"alpha": ()}, "alpha=()"),
        ({"alpha": (1.0, 0.0)}, "alpha=(1.0, 0.0)"),
        ({"mixes": 1}, "mixes=1"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"alpha": (1.0,) * 9}, "9 images are too few"),
    ],
)
def test_what_cannot_be_meant(change, says):
    with pytest.raises(UserError) as refused:
        mixed_losses(linear(), source(), **{**HOW, **change}, progress=False)
    assert says in str(refused.value)


def test_a_model_that_cannot_be_asked():
    with pytest.raises(UserError, match=r"call model.eval\(\) first"):
        mixed_losses(linear().train(), source(), progress=False)
    with pytest.raises(UserError, match="labels go up to 2"):
        mixed_losses(linear(classes=2), source(), progress=False)
