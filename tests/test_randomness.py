"""Every number is drawn from the stream of its place, and the streams leave no trace."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import v2

import augwise as aw
from augwise import randomness
from augwise.errors import UserError


def state() -> tuple[torch.Tensor, object, object]:
    return torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002


def draws() -> list[float]:
    return [float(torch.rand(())), random.random(), np.random.rand()]  # noqa: NPY002


@pytest.mark.parametrize("foreign", [False, True])
def test_stream_is_keyed_and_leaves_everything_as_it_was(foreign: bool) -> None:
    before = state()
    inside = []
    for _ in range(2):
        with randomness.stream(3, "sample", 7, foreign=foreign):
            inside.append(draws() if foreign else [float(torch.rand(()))])
            with randomness.stream(3, "sample", 8, foreign=foreign):  # streams nest
                other = draws() if foreign else [float(torch.rand(()))]
            inside[-1] += draws() if foreign else [float(torch.rand(()))]
    assert inside[0] == inside[1]
    assert not set(inside[0]) & set(other)
    after = state()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_stream_leaves_foreign_generators_alone_unless_asked() -> None:
    random.seed(5)
    expected = [random.random() for _ in range(2)]
    random.seed(5)
    with randomness.stream("key"):
        found = [random.random()]
    assert [*found, random.random()] == expected


def test_stream_is_restored_after_an_error() -> None:
    before = state()

    def fails() -> None:
        with randomness.stream(1, foreign=True):
            draws()
            raise KeyError("lost")

    with pytest.raises(KeyError):
        fails()
    after = state()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_keys_differ_in_every_part_and_in_their_order() -> None:
    keys = [*itertools.product(range(4), range(4), range(4)), *itertools.product("abc", range(9)), (0,), (0, 0), ("0",)]
    keys += [(2**40,), (2**40 + 2**33,), (-1,), ("1", "2"), ("12",), ("1, 2",)]  # high bits count, and no joining
    assert len({randomness.derive(*key) for key in keys}) == len(keys)
    assert all(0 <= randomness.derive(*key) < 2**32 for key in keys)


def test_integers_of_any_kind_are_the_same_key() -> None:
    expected = randomness.derive(1, 2, "x")
    assert randomness.derive(np.int64(1), torch.tensor(2), "x") == expected  # type: ignore[arg-type]
    assert randomness.derive(True, 2, "x") == expected
    with pytest.raises(TypeError):
        randomness.derive(1.5)  # type: ignore[arg-type]


def test_seeds_are_spread() -> None:
    """The lowest byte of 20 000 consecutive keys is uniform."""
    low = np.bincount([randomness.derive(0, i) & 255 for i in range(20_000)], minlength=256)
    assert stats.chisquare(low).pvalue > 0.001


def test_generator_and_stream_agree() -> None:
    with randomness.stream("a", 1):
        inside = torch.rand(3)
    assert torch.equal(inside, torch.rand(3, generator=randomness.generator("a", 1)))


DRAWS = {
    "uniform": lambda n, g: randomness.uniform(n, 2, 3, generator=g),
    "normal": lambda n, g: randomness.normal(n, 2, 3, generator=g),
    "integers": lambda n, g: randomness.integers(17, n, 2, generator=g),
    "beta": lambda n, g: randomness.beta(0.4, n, generator=g),
    "beta(1)": lambda n, g: randomness.beta(1, n, generator=g),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("explicit", [False, True])
def test_shards_draw_the_rows_of_the_global_batch(name: str, explicit: bool) -> None:
    def drawn(n: int) -> torch.Tensor:
        if explicit:
            return DRAWS[name](n, randomness.generator("shard"))
        with randomness.stream("shard"):
            return DRAWS[name](n, None)

    whole = drawn(7)
    assert len(whole.unique()) > 4
    for offset, n in ((0, 3), (3, 2), (5, 2), (7, 0)):
        with randomness.shard(offset, 7):
            assert torch.equal(drawn(n), whole[offset : offset + n])
    assert torch.equal(drawn(7), whole)  # the shard ends with its block


def test_a_shard_moves_the_stream_as_far_as_the_whole() -> None:
    """What is drawn after a sharded draw does not depend on the cut."""
    after = []
    for offset, total, n in ((0, 6, 6), (0, 6, 2), (4, 6, 2)):
        with randomness.stream("next"), randomness.shard(offset, total):
            randomness.uniform(n)
            randomness.beta(0.3, n)
            after.append(float(torch.rand(())))
    assert len(set(after)) == 1


def test_rows_outside_the_global_batch_are_refused() -> None:
    with randomness.shard(4, 6), pytest.raises(ValueError, match=r"4:7.*6"):
        randomness.uniform(3)


def test_integers_are_uniform_below_their_bounds() -> None:
    high = torch.tensor([1, 2, 7])
    drawn = randomness.integers(high, 14_000, 3)
    assert drawn.dtype == torch.int64
    assert drawn.amin(0).tolist() == [0, 0, 0]
    assert drawn.amax(0).tolist() == [0, 1, 6]
    assert stats.chisquare(drawn[:, 2].bincount()).pvalue > 0.001


@pytest.mark.parametrize("alpha", [0.01, 0.2, 0.5, 1, 1.0, 2.5, 30.0])
def test_beta_distribution(alpha: float) -> None:
    drawn = randomness.beta(alpha, 20_000)
    assert drawn.dtype == torch.float64
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) <= 1
    # Below 0.05 draws crowd at 0 and 1 closer than floats resolve: the lower half says the same of the upper.
    folded = np.minimum(drawn.numpy(), 1 - drawn.numpy())
    assert stats.kstest(folded, lambda x: 2 * stats.beta.cdf(np.minimum(x, 0.5), alpha, alpha)).pvalue > 0.001 or (
        alpha < 0.05
    )
    assert abs(float((drawn > 0.5).double().mean()) - 0.5) < 4 * 0.5 / 20_000**0.5
    for place in (0.001, 0.1, 0.3, 0.5, 0.8):
        share = stats.beta.cdf(place, alpha, alpha)
        assert abs(float((drawn <= place).double().mean()) - share) < 4 * (share * (1 - share) / 20_000) ** 0.5


def test_beta_of_a_tiny_alpha_is_a_coin() -> None:
    drawn = randomness.beta(1e-4, 4000)
    assert bool(drawn.isfinite().all())
    assert float(((drawn < 1e-6) | (drawn > 1 - 1e-6)).double().mean()) > 0.99
    assert abs(float(drawn.mean()) - 0.5) < 0.04


@pytest.mark.parametrize("alpha", [0, -1, float("nan")])
def test_beta_refuses_what_is_no_parameter(alpha: float) -> None:
    with pytest.raises(UserError, match="alpha="):
        randomness.beta(alpha, 3)


@pytest.mark.parametrize("n", [2, 3, 10, 101])
def test_derangement_moves_every_row(n: int) -> None:
    for seed in range(20):
        cycle = randomness.derangement(n, randomness.generator(seed))
        assert sorted(cycle.tolist()) == list(range(n))
        assert not bool((cycle == torch.arange(n)).any())


def test_derangement_gives_every_partner_equally_often() -> None:
    partners = torch.stack([randomness.derangement(5) for _ in range(4000)])
    for row in range(5):
        counts = partners[:, row].bincount(minlength=5)
        assert counts[row] == 0
        assert stats.chisquare(counts[counts > 0]).pvalue > 0.0005


def test_derangement_needs_two_rows() -> None:
    with pytest.raises(ValueError, match="two rows, not 1"):
        randomness.derangement(1)


def test_permutation_is_local() -> None:
    with randomness.stream("p"):
        alone = randomness.permutation(6)
    with randomness.stream("p"), randomness.shard(6, 12):
        assert torch.equal(randomness.permutation(6), alone)
    assert sorted(alone.tolist()) == list(range(6))


def coin(image: torch.Tensor) -> torch.Tensor:
    return image + random.random()


class Holds(torch.nn.Module):
    """A module of the kind that draws from torch alone, with something inside that does not."""

    __module__ = "torch.nn.modules.held"

    def __init__(self, held: object) -> None:
        super().__init__()
        self.held = held


@pytest.mark.parametrize(
    "hold",
    [
        lambda: coin,
        lambda: Holds(coin),
        lambda: Holds([coin]),
        lambda: Holds((torch.nn.Identity(), [coin])),
        lambda: Holds({"often": coin}),
        lambda: Holds(torch.nn.ModuleList([torch.nn.Identity(), Holds(coin)])),
        lambda: Holds(torch.nn.ModuleDict({"x": Holds(coin)})),
        lambda: torch.nn.Sequential(torch.nn.Identity(), Holds([{"deep": [coin]}])),
        lambda: v2.Compose([v2.RandomHorizontalFlip(), v2.RandomApply([v2.Lambda(coin)])]),
        lambda: aw.Preserve(v2.Compose([coin])),
    ],
)
def test_what_draws_elsewhere_is_found_wherever_it_is_held(hold) -> None:
    assert randomness.draws_elsewhere(hold())


@pytest.mark.parametrize(
    "make",
    [
        lambda: v2.Compose([v2.RandomHorizontalFlip(), v2.RandomApply([v2.RandomRotation(5)])]),
        lambda: aw.Preserve(v2.TrivialAugmentWide()),
        lambda: torch.nn.Sequential(torch.nn.Identity(), Holds({"x": [3, "y", None, torch.zeros(2)]})),
        lambda: aw.Cutout(3),
    ],
)
def test_what_draws_from_torch_alone_needs_no_other_seeds(make) -> None:
    assert not randomness.draws_elsewhere(make())


def test_a_step_that_holds_itself_is_looked_at_once() -> None:
    loop = Holds(None)
    loop.held = [loop]
    assert not randomness.draws_elsewhere(loop)


def test_levels_are_uniform_bytes_of_a_global_batch():
    drawn = randomness.levels(500, 3, 7, 5)  # not a multiple of eight
    assert drawn.shape == (500, 3, 7, 5)
    counts = torch.bincount(drawn.flatten().long(), minlength=256)
    expected = drawn.numel() / 256
    assert ((counts - expected).abs() < 6 * expected**0.5).all()
    for bit in range(8):  # of every byte of a word
        ones = (drawn.flatten()[: 8 * 6000].view(-1, 8) >> bit & 1).double().mean(0)
        assert ((ones - 0.5).abs() < 6 * 0.5 / 6000**0.5).all()
    assert not torch.equal(drawn[0], drawn[1])
    assert randomness.levels(0, 3).shape == (0, 3)
    whole = randomness.levels(5, 3, generator=torch.Generator().manual_seed(1))
    with randomness.shard(2, 5):
        part = randomness.levels(2, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(part, whole[2:4])
