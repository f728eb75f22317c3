"""Images that come and go: each one's result is its own, whoever sits beside it and whenever it enters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from augwise.errors import UserError
from augwise.importance import sparse
from augwise.importance.cdiea import CDIEA
from augwise.importance.continuous import attack_stream, attack_until
from augwise.importance.descent import Stop
from augwise.importance.encoders import initial_linear
from reference.sparse import cdiea as slow_cdiea

H, W, K = 6, 5, 4
METHOD = CDIEA(steps=60, epsilon=0.08, beta=0.02, nu=1.0)
STOP = Stop(binary=0.3, patience=4, every=3)
PATIENT = Stop(binary=0.0, patience=5, every=2)  # patience decides alone


def network() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(6 * H * W, K))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.6)
    return model.double().eval().requires_grad_(False)


def pictures(count: int) -> tuple[nn.Module, Tensor, Tensor]:
    model = network()
    images = torch.rand(count, 2, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return model, images, model(images).argmax(1)


def in_order(parts) -> tuple[sparse.SparseAttack, list[int]]:
    indices = [index for part in parts for index in part.indices]
    order = torch.tensor(indices).argsort()
    assert torch.tensor(indices)[order].tolist() == list(range(len(indices))), "every image once"
    steps = [count for part in parts for count in part.steps]
    found = sparse.SparseAttack(*(torch.cat(values)[order] for values in zip(*(p.found for p in parts), strict=True)))
    return found, [steps[i] for i in order.tolist()]


def batches(images: Tensor, labels: Tensor, size: int, seeds: list[int] | None = None):
    seeds = seeds or [0] * len(images)
    return [(images[a : a + size], labels[a : a + size], seeds[a : a + size]) for a in range(0, len(images), size)]


def equal(found: sparse.SparseAttack, expected: sparse.SparseAttack) -> None:
    torch.testing.assert_close(found.delta, expected.delta, rtol=0, atol=1e-12)
    for name in ("mask", "success", "wrong_before", "targets"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name


@pytest.mark.parametrize(("size", "slots"), [(13, 13), (4, 3), (5, 8), (1, 1), (13, 2)])
def test_without_a_rule_every_image_ends_as_in_the_static_attack(size, slots):
    model, images, labels = pictures(13)
    seeds = list(range(13))
    method = replace(METHOD, target="random")
    found, steps = in_order(list(attack_stream(model, batches(images, labels, size, seeds), method, slots, None)))
    equal(found, sparse.attack(model, images, labels, method, seeds))
    assert steps == [60] * 13


@pytest.mark.parametrize("stop", [STOP, PATIENT])
def test_an_images_end_depends_neither_on_neighbours_nor_on_the_order_of_refills(stop):
    model, images, labels = pictures(17)
    alone = [attack_until(model, images[i : i + 1], labels[i : i + 1], METHOD, stop) for i in range(17)]
    expected = sparse.SparseAttack(*(torch.cat(values) for values in zip(*alone, strict=True)))
    static = attack_until(model, images, labels, METHOD, stop)
    equal(static, expected)
    taken = None
    for size, slots in ((3, 5), (17, 1)):
        found, steps = in_order(list(attack_stream(model, batches(images, labels, size), METHOD, slots, stop)))
        equal(found, expected)
        assert taken in (None, steps)
        taken = steps
    assert taken is not None
    assert len(set(taken)) > 3, "all end together, so nothing was tested"
    backwards, _ = in_order(list(attack_stream(model, batches(images.flip(0), labels.flip(0), 4), METHOD, 4, stop)))
    equal(sparse.SparseAttack(*(values.flip(0) for values in backwards)), expected)


@pytest.mark.parametrize("stop", [STOP, PATIENT])
def test_an_image_leaves_when_the_rule_of_a_slow_loop_says_so(stop):
    # the reference stops at every step in turn: the first at which its own look at x + delta m meets the three demands
    model, images, labels = pictures(6)
    images, labels = images[[1, 2, 3, 5]], labels[[1, 2, 3, 5]]  # the first one needs all of its steps
    found, steps = in_order(list(attack_stream(model, [(images, labels, [0] * 4)], METHOD, 2, stop)))
    weight, bias = initial_linear(2, H, W, 0, torch.float64, torch.device("cpu"))
    for i in range(4):
        target = model(images[i : i + 1])[0].topk(2).indices[1].item()
        trace: list[tuple[Tensor, Tensor]] = []
        slow_cdiea(
            model, images[i], target, weight, bias, steps=60, epsilon=0.08, beta=0.02, nu=1.0,
            look=lambda delta, m, trace=trace: trace.append((delta.clone(), m.clone())),
        )  # fmt: skip
        fewest, stalled, end = 2.0, 0, 60
        for t, (delta, m) in enumerate(trace):
            share = (m > 0.5).double().mean().item()
            fewest, stalled = (share, 0) if share < fewest else (fewest, stalled + 1)
            binary = ((m < 0.01) | (m > 0.99)).double().mean().item()
            soft, hard = (model((images[i] + delta * each)[None]).argmax().item() for each in (m, (m > 0.5).double()))
            if (
                t > 0
                and t % stop.every == 0
                and soft != labels[i]
                and binary >= stop.binary
                and stalled >= stop.patience
            ):
                if hard != labels[i]:
                    end = t
                    break
                stalled = 0
        assert end < 60, "the reference never stops, so nothing was tested"
        assert steps[i] == end + 1
        torch.testing.assert_close(found.delta[i], trace[end][0], rtol=0, atol=1e-12)
        assert torch.equal(found.mask[i], (trace[end][1][0] > 0.5) & (trace[end][0] != 0).any(0))
        assert found.success[i]


@dataclass(frozen=True)
class Untargeted(CDIEA):
    """Away from the label, from a random start; the first attempt pays so much per point that most fail."""

    name = "untargeted"
    attempts: int = 2

    def start(self, model, images, labels, logits, seeds) -> sparse.Start:  # noqa: ARG002
        draws = [torch.rand(2, H, W, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in seeds]
        possible = torch.tensor([seed % 5 != 1 for seed in seeds])
        return sparse.Start(torch.stack(draws) - 0.5, labels, images.new_ones(len(images)), possible)

    def class_loss(self, logits: Tensor, start: sparse.Start) -> Tensor:
        return -nn.functional.cross_entropy(logits, start.targets, reduction="none") / start.scale

    def retry(self) -> sparse.Recipe | None:
        return replace(self, nu=1.0, attempts=self.attempts - 1) if self.attempts > 1 else None


@pytest.mark.parametrize("stop", [None, STOP])
def test_another_attempt_and_images_that_are_not_worth_one(stop):
    model, images, labels = pictures(14)
    seeds = list(range(14))
    method = Untargeted(steps=30, nu=40.0, epsilon=0.08, beta=0.02)
    if stop is None:
        expected = sparse.attack(model, images, labels, method, seeds)
    else:
        expected = attack_until(model, images, labels, method, stop, seeds)
    for size, slots in ((14, 14), (3, 4), (5, 2)):
        parts = list(attack_stream(model, batches(images, labels, size, seeds), method, slots, stop))
        found, steps = in_order(parts)
        equal(found, expected)
        assert [steps[i] for i in (1, 6, 11)] == [0, 0, 0]
        assert found.delta[[1, 6, 11]].eq(0).all()
        assert not found.success[[1, 6, 11]].any()
    assert max(steps) > 30, "no image came back, so nothing was tested"
    assert found.success.sum() > 5
    assert any(0 < count <= 30 for count in steps)


def test_attempts_that_cannot_share_a_batch_are_refused():
    @dataclass(frozen=True)
    class Longer(Untargeted):
        def retry(self) -> sparse.Recipe | None:
            return replace(self, beta=0.5)

    model, images, labels = pictures(3)
    with pytest.raises(UserError, match="another beta"):
        list(attack_stream(model, [(images, labels, [0, 0, 0])], Longer(steps=5, nu=40.0), 2, None))


def test_nothing_comes_out_of_nothing():
    model, images, labels = pictures(2)
    assert list(attack_stream(model, [], METHOD)) == []
    assert list(attack_stream(model, [(images[:0], labels[:0], [])], METHOD)) == []
    assert attack_until(model, images[:0], labels[:0], METHOD, STOP).mask.shape == (0, H, W)


def test_what_cannot_be_attacked_is_named():
    model, images, labels = pictures(2)
    with pytest.raises(UserError, match="slots=0"):
        attack_stream(model, [], METHOD, 0)
    with pytest.raises(UserError, match=r"\[0, 1\]"):
        list(attack_stream(model, [(images + 1, labels, [0, 0])], METHOD))
    for wrong, message in (({"binary": 1.5}, "binary"), ({"patience": 0}, "patience"), ({"every": 0}, "every")):
        with pytest.raises(UserError, match=message):
            Stop(**wrong)
