"""Ranking, re-ranking and batch-hard triplets against slow references and cases solved by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from augwise.errors import UserError
from augwise.reid import Rerank, batch_hard_triplet, evaluate_ranking
from augwise.reid.ranking import _ranks_by_sorting, ranks_of
from reference.ranked import batch_hard, ranked, reranked, squared

Case = tuple[Tensor, Tensor, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def case(seed: int, queries: int = 37, gallery: int = 150, whole: bool = False) -> Case:
    """Features that say something of the identity; junk, distractors and queries that nobody matches among them.

    whole: small whole numbers, so that many distances are equal and none is rounded.
    """
    rng = np.random.default_rng(seed)
    ids, given = rng.integers(1, 14, queries), rng.integers(-1, 12, gallery)
    cameras, seen_by = rng.integers(1, 4, queries), rng.integers(1, 4, gallery)
    centres = rng.normal(size=(16, 5))
    q, g = (centres[i] + 0.8 * rng.normal(size=(len(i), 5)) for i in (ids, given))
    if whole:
        q, g = np.round(q), np.round(g)
    return torch.tensor(q).float(), torch.tensor(g).float(), ids, given, cameras, seen_by


def reference(found: Case) -> tuple[float, dict[int, float], int]:
    q, g, *labels = found
    return ranked(squared(q.numpy(), g.numpy()), *(part.tolist() for part in labels))


@pytest.mark.parametrize("whole", [False, True])
def test_measures_are_those_of_sorting_every_query(whole: bool) -> None:
    for seed in range(4):
        found = case(seed, whole=whole)
        precision, cmc, without = reference(found)
        for block_bytes in (1, 2400, 1 << 20):  # one query at a time, a few, all at once
            ours = evaluate_ranking(*found, block_bytes=block_bytes)
            assert ours.map == pytest.approx(precision, abs=1e-12)
            assert ours.cmc == pytest.approx(cmc, abs=1e-12)
            assert ours.left_out == without > 0
            assert ours.queries == 37 - without
            assert ours.gallery == int((found[3] != -1).sum())


def test_a_case_by_hand_with_junk_and_the_same_camera() -> None:
    """One query at 0. Nearest to farthest: junk, its own camera, another person, a match, a distractor, a match."""
    gallery = torch.tensor([[6.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    ids, cameras = np.array([7, -1, 7, 9, 7, 0]), np.array([3, 2, 1, 1, 2, 5])
    found = evaluate_ranking(torch.zeros(1, 1), gallery, np.array([7]), ids, np.array([1]), cameras, ranks=(1, 2, 3))
    assert found.map == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert found.cmc == {1: 0.0, 2: 1.0, 3: 1.0}
    assert found.first.tolist() == [2]
    assert (found.gallery, found.left_out) == (5, 0)


def test_queries_without_a_match_are_left_out_and_counted() -> None:
    q, g = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0], [1.0]])
    ids, given = np.array([1, 2, -1]), np.array([1, 2])
    # the first sees its only match by its own camera, the third is junk
    found = evaluate_ranking(q, g, ids, given, np.array([1, 1, 1]), np.array([1, 2]))
    assert (found.left_out, found.queries, found.map) == (2, 1, 1.0)
    assert np.isnan(found.average_precision).tolist() == [True, False, True]
    with pytest.raises(UserError, match="none of the 2 queries"):
        evaluate_ranking(q[:2], g, np.array([5, 6]), given, np.array([1, 1]), np.array([1, 2]))
    with pytest.raises(UserError, match="junk"):
        evaluate_ranking(q[:2], g, ids[:2], np.array([-1, -1]), np.array([1, 1]), np.array([1, 2]))


def test_equal_distances_come_in_the_gallerys_order() -> None:
    """A network that has collapsed must not be flattered: of six equal images the match stands where the gallery has
    it."""
    for place in range(6):
        given = np.full(6, 2)
        given[place] = 1
        found = evaluate_ranking(
            torch.zeros(1, 3), torch.zeros(6, 3), np.array([1]), given, np.array([1]), np.full(6, 2)
        )
        assert found.first.tolist() == [place + 1]


def test_both_ways_of_counting_ranks_agree() -> None:
    rng = np.random.default_rng(5)
    distances = torch.tensor(rng.integers(0, 9, (6, 40))).float()  # full of ties
    places = []
    for _ in range(6):
        own = rng.permutation(40)[:9]
        places.append((np.sort(own[:5]), np.sort(own[5:])))
    counted, sorted_out = ranks_of(distances, places), _ranks_by_sorting(distances, places)
    for a, b in zip(counted, sorted_out, strict=True):
        assert a.tolist() == b.tolist()


def test_cosine_is_euclidean_of_unit_features() -> None:
    q, g, *labels = case(3)
    unit = torch.nn.functional.normalize
    ours, theirs = (
        evaluate_ranking(q, g, *labels, metric="cosine"),
        evaluate_ranking(unit(q, dim=1), unit(g, dim=1), *labels),
    )
    assert ours.average_precision.tolist() == pytest.approx(theirs.average_precision.tolist(), nan_ok=True)
    assert ours.map != pytest.approx(evaluate_ranking(q, g, *labels).map)


@pytest.mark.parametrize(("k1", "k2", "weight"), [(7, 3, 0.3), (20, 6, 0.3), (6, 1, 0.0), (9, 4, 1.0)])
def test_reranking_is_the_references(k1: int, k2: int, weight: float) -> None:
    q, g, ids, given, cameras, seen_by = case(11, gallery=90)
    given[given == -1] = 12  # the reference ranks all
    star = reranked(q.numpy(), g.numpy(), k1, k2, weight)
    labels = [part.tolist() for part in (ids, given, cameras, seen_by)]
    precision, cmc, _ = ranked(star, *labels)
    for block_bytes in (900, 1 << 20):
        ours = evaluate_ranking(
            q, g, ids, given, cameras, seen_by, rerank=Rerank(k1, k2, weight), block_bytes=block_bytes
        )
        assert ours.map == pytest.approx(precision, abs=1e-9)
        assert ours.cmc == pytest.approx(cmc)
    if weight == 1:
        assert ours.map == pytest.approx(evaluate_ranking(q, g, ids, given, cameras, seen_by).map)
    else:
        assert ours.map != pytest.approx(evaluate_ranking(q, g, ids, given, cameras, seen_by).map)


def test_reranked_distances_are_the_references() -> None:
    from augwise.reid.rerank import reranked as ours

    q, g, *_ = case(4, queries=12, gallery=50)
    for k1, k2, weight in ((8, 3, 0.3), (11, 1, 0.0)):
        parts = [np.arange(5), np.arange(5, 12)]
        found = torch.cat([d for _, d in ours(q, g, parts, Rerank(k1, k2, weight))]).numpy()
        assert np.abs(found - reranked(q.numpy(), g.numpy(), k1, k2, weight)).max() < 1e-5


def test_what_cannot_be_ranked_is_said() -> None:
    q, g, ids, given, cameras, seen_by = case(0)
    for change, words in (
        ({"query_identities": ids[:3]}, r"query_identities has shape \(3,\) for 37"),
        ({"gallery_cameras": seen_by[:5]}, "gallery_cameras has shape"),
        ({"metric": "manhattan"}, "manhattan"),
        ({"ranks": (0, 5)}, "ranks="),
        ({"gallery": g[:, :3]}, "do not fit together"),
        ({"query": q * torch.nan}, "diverged"),
        ({"rerank": Rerank(k1=200)}, "k1=200"),
    ):
        told = {
            "query": q, "gallery": g, "query_identities": ids, "gallery_identities": given,
            "query_cameras": cameras, "gallery_cameras": seen_by,
        } | change  # fmt: skip
        with pytest.raises(UserError, match=words):
            evaluate_ranking(**told)
    for wrong in ({"k1": 0}, {"k2": 0}, {"weight": 1.5}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            Rerank(**wrong)


def test_batch_hard_is_a_loop_over_anchors() -> None:
    generator = torch.Generator().manual_seed(2)
    labels = torch.tensor([0, 0, 0, 4, 4, 4, 2, 2, 7])  # the last is alone
    features = torch.randn(9, 6, generator=generator)
    for margin in (0.0, 0.3, 2.5):
        expected = batch_hard(features.numpy(), labels.tolist(), margin)
        assert batch_hard_triplet(features, labels, margin).item() == pytest.approx(expected, abs=1e-5)


def test_batch_hard_is_pytorch_metric_learnings_with_the_same_gradient() -> None:
    miners, losses = (
        pytest.importorskip(f"pytorch_metric_learning.{part}", reason="the extra reid") for part in ("miners", "losses")
    )
    from pytorch_metric_learning.distances import LpDistance

    distance = LpDistance(normalize_embeddings=False)
    miner = miners.BatchHardMiner(distance=distance)
    theirs = losses.TripletMarginLoss(margin=0.3, distance=distance)
    features = torch.randn(12, 6, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(12) // 3
    gradients, values = [], []
    for loss in (lambda f: batch_hard_triplet(f, labels), lambda f: theirs(f, labels, miner(f, labels))):
        f = features.clone().requires_grad_()
        value = loss(f)
        (gradient,) = torch.autograd.grad(value, f)
        # theirs is the mean over the triplets that are not satisfied, ours over all anchors
        values.append(value.item())
        gradients.append(gradient / gradient.norm())
    assert (gradients[0] - gradients[1]).abs().max() < 1e-5
    assert values[0] <= values[1] * (1 + 1e-5)


def test_a_batch_of_one_identity_has_no_triplets() -> None:
    with pytest.raises(UserError, match="one identity"):
        batch_hard_triplet(torch.randn(4, 3), torch.tensor([5, 5, 5, 5]))


def test_twins_give_a_finite_gradient() -> None:
    """The farthest of an identity drawn twice may be the same picture."""
    features = torch.zeros(4, 3, requires_grad=True)
    batch_hard_triplet(features, torch.tensor([0, 0, 1, 1])).backward()
    assert features.grad is not None
    assert bool(features.grad.isfinite().all())
