"""Labels softened by what a picture lost: the formula, on whichever path it was lost, and the gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import augwise as aw
from augwise.mixing.soften import share_left, soften
from augwise.transforms import Augmentation
from reference import mixing as slow

CLASSES = 5
HEIGHT, WIDTH = 9, 14


def mixed_labels(n: int, k: int) -> aw.MixedLabels:
    weights = torch.rand(n, k) + 0.01
    return aw.MixedLabels(torch.randint(0, CLASSES, (n, k)), weights / weights.sum(1, keepdim=True), torch.rand(n))


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize(("strength", "power"), [(1.0, 2.0), (0.5, 1.0), (0.8, 0.5), (0.0, 2.0)])
def test_softened_targets_class_by_class(k, strength, power):
    n, labels = 12, mixed_labels(12, k)
    left = torch.rand(n)
    left[:2] = torch.tensor([0.0, 1.0])
    found = soften(labels, left, strength, power)
    assert torch.equal(found.classes, labels.classes)
    assert torch.equal(found.weights, labels.weights)
    dense = found.dense(CLASSES)
    for i in range(n):
        for c in range(CLASSES):
            shown = sum(float(labels.weights[i, j]) for j in range(k) if int(labels.classes[i, j]) == c)
            expected = slow.softened(shown, float(labels.doubt[i]), float(left[i]), strength, power, CLASSES)
            assert float(dense[i, c]) == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(dense.sum(1), torch.ones(n))


@pytest.mark.parametrize("power", [1.0, 2.0, 4.0])
def test_of_a_visible_area_it_is_soft_augmentation(power):
    """Crops of flat maps: the share that is left is counted in pixels of the picture itself."""
    n = 40
    batch = aw.Batch.of(torch.ones(n, 1, HEIGHT, WIDTH), torch.arange(n) % CLASSES, torch.ones(n, HEIGHT, WIDTH))
    cropped = aw.RandomCrop(padding=5)(batch)  # the picture is white, what is padded black
    dense = aw.SoftenLabels(1.0, power)(cropped).labels.dense(CLASSES)
    seen = set()
    for i in range(n):
        visible = sum(int(cropped.images[i, 0, y, x] == 1) for y in range(HEIGHT) for x in range(WIDTH))
        seen.add(visible)
        confidence = slow.soft_augmentation(visible / (HEIGHT * WIDTH), power, CLASSES)
        assert float(dense[i, i % CLASSES]) == pytest.approx(confidence, abs=1e-6)
        assert float(dense[i, (i + 1) % CLASSES]) == pytest.approx((1 - confidence) / (CLASSES - 1), abs=1e-6)
    assert len(seen) > 10


def test_share_left_counts_what_crop_and_erasing_took():
    n = 30
    maps = torch.stack([slow.whole_map(HEIGHT, WIDTH, 25) for _ in range(n)])
    images = torch.rand(n, 3, HEIGHT, WIDTH) + 1  # nothing of it is the colour of padding or fill
    batch = aw.Batch.of(images, torch.zeros(n, dtype=torch.int64), maps)
    crop, erase = aw.RandomCrop(padding=4), aw.Cutout(5, fill=0.0)
    moves = crop.make_params(images, maps, None)
    moved = crop.transform(images, maps, moves)
    params = erase.make_params(*moved, None)
    after = erase.transform(*moved, params)
    left = share_left(after[1], batch.evidence)
    for i in range(n):
        top, column = moves["corners"][i].tolist()
        kept = 0.0
        for y in range(HEIGHT):
            for x in range(WIDTH):
                from_y, from_x = y + top - 4, x + column - 4
                if 0 <= from_y < HEIGHT and 0 <= from_x < WIDTH and float(after[0][i, 0, y, x]) > 0:
                    kept += float(maps[i, from_y, from_x])
        assert float(left[i]) == pytest.approx(kept / float(maps[i].sum()), abs=1e-6)
    assert 0 < float(left.min()) < float(left.max())
    assert float(left.max()) <= 1


def test_what_is_untouched_is_not_doubted_and_nothing_is_known_of_no_map():
    maps = torch.rand(6, 133, 147) * 1e-3
    maps[4:] = 0
    batch = aw.Batch.of(torch.rand(6, 3, 133, 147), torch.arange(6), maps)
    # A root makes a rounding error of 1e-7 a doubt of 3e-4: sums are exact enough for none at all.
    assert aw.SoftenLabels(power=0.5)(batch).labels.doubt.tolist() == [0] * 6
    assert aw.SoftenLabels()(aw.RandomHorizontalFlip(1.0)(batch)).labels.doubt.max() < 1e-12
    gone = batch._replace(importance=aw.ImportanceMap(torch.zeros_like(maps)))
    assert aw.SoftenLabels(0.7)(gone).labels.doubt.tolist() == pytest.approx([0.7] * 4 + [0] * 2)
    more = batch._replace(importance=aw.ImportanceMap(maps * 1.01))  # rounding of an enlargement, say
    assert aw.SoftenLabels()(more).labels.doubt.tolist() == [0] * 6


class Blind(Augmentation):
    """Erases the columns left of the one that stands in the first pixel: no number is drawn."""

    def make_params(self, images, importance, generator):  # noqa: ARG002
        return {"edge": images[:, 0, 0, 0].long()}

    def transform(self, images, importance, params):
        gone = torch.arange(images.shape[-1]) < params["edge"][:, None]
        maps = importance.masked_fill(gone[:, None], 0)
        return images.masked_fill(gone[:, None, None], 0), maps


def test_the_sample_path_and_the_batch_path_soften_alike(tmp_path):
    n = 9
    images = torch.randint(0, 256, (n, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(n)
    maps = torch.stack([slow.whole_map(HEIGHT, WIDTH, 30) for _ in range(n)])

    class Pairs(torch.utils.data.Dataset):
        def __len__(self):
            return n

        def __getitem__(self, i):
            return images[i], i % CLASSES

    store = aw.ImportanceStore.from_maps(Pairs(), maps.numpy(), tmp_path / "some.maps")
    before, after = aw.WithImportance(Pairs(), store, Blind()), aw.WithImportance(Pairs(), store)
    early = aw.SoftenLabels(0.9, 1.0)(aw.collate([before[i] for i in range(n)]))
    late = aw.SoftenLabels(0.9, 1.0)(Blind()(aw.collate([after[i] for i in range(n)])))
    assert torch.equal(early.images, late.images)
    assert torch.equal(early.labels.doubt, late.labels.doubt)
    lost = [float(maps[i, :, :i].sum() / maps[i].sum()) for i in range(n)]
    assert early.labels.doubt.tolist() == pytest.approx([0.9 * v for v in lost], abs=1e-5)
    assert len(set(lost)) == n


def test_doubts_combine_in_any_order():
    n = 8
    maps = torch.rand(n, HEIGHT, WIDTH)
    batch = aw.Batch.of(torch.rand(n, 3, HEIGHT, WIDTH), torch.arange(n) % CLASSES, maps)
    batch = aw.Cutout(6)(batch)
    soft, smooth = aw.SoftenLabels(0.8), aw.SmoothLabels(0.3)
    one, other = smooth(soft(batch)).labels, soft(smooth(batch)).labels
    torch.testing.assert_close(one.doubt, other.doubt)
    torch.testing.assert_close(one.doubt, 1 - (1 - soft(batch).labels.doubt) * 0.7)
    # Smoothing of the labels is smoothing in the loss.
    logits = torch.randn(n, CLASSES)
    torch.testing.assert_close(
        smooth(batch).labels.cross_entropy(logits), F.cross_entropy(logits, batch.labels, label_smoothing=0.3)
    )
    assert smooth(batch._replace(importance=None)).labels.doubt.tolist() == pytest.approx([0.3] * n)


def test_before_and_after_a_mixer():
    n = 12
    maps = torch.stack([slow.whole_map(HEIGHT, WIDTH, 40) for _ in range(n)])
    batch = aw.Cutout(5)(aw.Batch.of(torch.rand(n, 3, HEIGHT, WIDTH), torch.arange(n), maps))
    soft, mixer = aw.SoftenLabels(), aw.Mixup()
    params = mixer.make_params(batch, None)
    before = mixer.mix(soft(batch), params).labels
    share = params["share"].float()
    own = soft(batch).labels.doubt
    torch.testing.assert_close(before.doubt, share * own + (1 - share) * own[params["partner"]])
    mixed = mixer.mix(batch, params)
    after = soft(mixed).labels
    assert torch.equal(after.weights, mixed.labels.weights)
    left = mixed.importance.sum((1, 2)) / mixed.evidence
    torch.testing.assert_close(after.doubt, (1 - left.as_subclass(Tensor)) ** 2, rtol=1e-4, atol=1e-6)


def test_gradient_of_the_softened_loss_is_softmax_minus_target():
    logits, left = torch.randn(7, CLASSES, requires_grad=True), torch.rand(7)
    labels = soften(torch.arange(7) % CLASSES, left, 0.9, 1.5)
    (found,) = torch.autograd.grad(labels.cross_entropy(logits, reduction="sum"), logits)
    target = torch.empty(7, CLASSES)
    for i in range(7):
        for c in range(CLASSES):
            target[i, c] = slow.softened(float(i % CLASSES == c), 0, float(left[i]), 0.9, 1.5, CLASSES)
    torch.testing.assert_close(found, logits.detach().softmax(1) - target, rtol=1e-4, atol=1e-6)


def test_images_maps_and_the_batch_given_stay_as_they_are():
    maps = torch.rand(4, HEIGHT, WIDTH)
    batch = aw.Cutout(6)(aw.Batch.of(torch.rand(4, 3, HEIGHT, WIDTH), torch.arange(4), maps))
    versions = [t._version for t in batch]
    for step in (aw.SoftenLabels(), aw.SmoothLabels(0.1)):
        result = step(batch)
        assert result.images is batch.images
        assert result.importance is batch.importance
        assert type(result.importance) is aw.ImportanceMap
        assert result.labels.doubt.dtype == torch.float32
        empty = step(aw.Batch.of(batch.images[:0], batch.labels[:0], batch.importance[:0]))
        assert empty.labels.doubt.shape == (0,)
    assert [t._version for t in batch] == versions


def test_what_cannot_be_softened_is_told():
    batch = aw.Batch.of(torch.zeros(2, 3, 4, 4), torch.arange(2))
    with pytest.raises(aw.UserError, match=r"SoftenLabels got no importance maps.*WithImportance.*SmoothLabels"):
        aw.SoftenLabels()(batch)
    with pytest.raises(aw.UserError, match="SmoothLabels got a Sample"):
        aw.SmoothLabels(0.1)(aw.Sample(batch.images[0], None, 3))
    whole = aw.Batch.of(batch.images, torch.arange(2), torch.ones(2, 4, 4))
    for other, said in (
        ({"labels": torch.arange(3)}, "2 images and 3 labels"),
        ({"importance": torch.ones(3, 4, 4)}, "one map per image"),
        ({"importance": torch.ones(2, 3, 4)}, "one map per image"),
        ({"evidence": torch.ones(3)}, "one number for each of 2 images"),
    ):
        with pytest.raises(aw.UserError, match=said):
            aw.SoftenLabels()(whole._replace(**other))
    for make, said in (
        (lambda: aw.SoftenLabels(1.1), "strength=1.1"),
        (lambda: aw.SoftenLabels(-0.1), "strength=-0.1"),
        (lambda: aw.SoftenLabels(power=0), "power=0"),
        (lambda: soften(torch.arange(2), torch.ones(2), float("nan")), "strength=nan"),
        (lambda: aw.SmoothLabels(2), "doubt=2"),
    ):
        with pytest.raises(aw.UserError, match=said):
            make()
