"""HideAndSeek: whole patches of a grid, each hidden by its own coin, the grid drawn for every image."""

from __future__ import annotations

import pytest
import torch

import augwise as aw
from augwise.transforms.hide_and_seek import patch_mask
from reference.masks import patches

HEIGHT, WIDTH = 11, 17


def apply(method, images, maps=None, seed=0):
    params = method.make_params(images, maps, torch.Generator().manual_seed(seed))
    return params, *method.transform(images, maps, params)


def test_masks_are_whole_patches():
    sides = torch.tensor([0, 1, 3, 4, 5, 16, 4, 0, 2])
    hidden = torch.rand(9, HEIGHT, WIDTH) < 0.5
    masks = patch_mask(sides, hidden, HEIGHT, WIDTH)
    for side, cells, mask in zip(sides.tolist(), hidden, masks, strict=True):
        assert torch.equal(mask, patches(side, cells, HEIGHT, WIDTH))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 3])
def test_hidden_patches_take_the_fill_and_lose_their_importance(dtype, channels):
    images = torch.randint(0, 256, (30, channels, HEIGHT, WIDTH), dtype=torch.uint8)
    images = images if dtype == torch.uint8 else (images / 255).to(dtype)
    maps = torch.rand(30, HEIGHT, WIDTH)
    for fill in ("mean", 0.25, "random"):
        params, erased, moved = apply(aw.HideAndSeek((0, 3, 0.4), fill=fill), images, maps)
        assert set(params["sides"].tolist()) == {0, 3, 4}
        assert erased.dtype == dtype
        for i in range(30):
            mask = patches(int(params["sides"][i]), params["hidden"][i], HEIGHT, WIDTH)
            assert torch.equal(erased[i][:, ~mask], images[i][:, ~mask])
            assert torch.equal(moved[i], maps[i] * ~mask)
            if fill == "mean" and mask.any():
                level = images[i].double().mean((1, 2), keepdim=True)
                expected = (level.round() if dtype == torch.uint8 else level).expand_as(images[i])[:, mask]
                coarse = 0.004 if dtype == torch.bfloat16 else 1e-6
                assert torch.allclose(erased[i][:, mask].double(), expected, atol=coarse, rtol=0)
            elif fill == 0.25:
                assert (erased[i][:, mask] == (64 if dtype == torch.uint8 else 0.25)).all()
    assert not torch.equal(erased[:, 0][moved == 0], images[:, 0][moved == 0])


def test_patches_are_hidden_as_often_as_asked_and_independently():
    images = torch.ones(4000, 1, 8, 12)
    _, erased, _ = apply(aw.HideAndSeek((4,), p_hide=0.3, fill=0.0), images)
    hidden = (erased[:, 0, ::4, ::4] == 0).flatten(1).double()  # one pixel of each of the 2 x 3 patches
    assert hidden.shape == (4000, 6)
    assert ((hidden.mean(0) - 0.3).abs() < 5 * (0.21 / 4000) ** 0.5).all()
    together = hidden.T @ hidden / 4000
    assert ((together - 0.09).abs().fill_diagonal_(0) < 5 * (0.09 * 0.91 / 4000) ** 0.5).all()
    assert not (apply(aw.HideAndSeek((4,), p_hide=0.0), images)[1] != 1).any()
    assert not apply(aw.HideAndSeek((4,), p_hide=1.0, fill=0.0), images)[1].any()


def test_grids_of_the_paper_and_their_frequencies():
    params = aw.HideAndSeek().make_params(torch.zeros(50, 1, 224, 300), None, None)
    assert set(params["sides"].tolist()) == {0, 16, 32, 44, 56}
    params, *_ = apply(aw.HideAndSeek(p=aw.Ramp(0.5)), torch.zeros(5000, 1, 32, 32))
    sides = params["sides"].tolist()
    assert set(sides) == {0, 2, 5, 6, 8}
    for side, share in ((0, 0.6), (2, 0.1), (5, 0.1), (6, 0.1), (8, 0.1)):  # half of the images are left alone
        assert abs(sides.count(side) / 5000 - share) < 5 * (share * (1 - share) / 5000) ** 0.5
    with aw.progress(0.0):
        assert not apply(aw.HideAndSeek(p=aw.Ramp(0.5)), torch.zeros(50, 1, 32, 32))[0]["sides"].any()


def test_patches_may_be_wider_than_the_shorter_side_but_not_than_both():
    images = torch.ones(200, 1, 6, 20)
    params, erased, _ = apply(aw.HideAndSeek((10,), fill=0.0), images)
    assert params["hidden"].shape == (200, 1, 2)
    assert torch.equal(erased[:, 0, 0, [0, 10]] == 0, params["hidden"][:, 0])
    with pytest.raises(aw.UserError, match="20 pixels covers all of an image of 6x20"):
        apply(aw.HideAndSeek((20,)), images)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: aw.HideAndSeek(()), "hides nothing"),
        (lambda: aw.HideAndSeek((0,)), "hides nothing"),
        (lambda: aw.HideAndSeek(8), r"grid=8: give a list of sides, .* such as \(0, 8\)"),
        (lambda: aw.HideAndSeek((-4,)), "grid=-4"),
        (lambda: aw.HideAndSeek((1.5,)), "grid=1.5"),
        (lambda: aw.HideAndSeek(p_hide=50), "p_hide=50"),
        (lambda: aw.HideAndSeek(p=-1), "p=-1"),
        (lambda: aw.HideAndSeek(fill="black"), "fill='black'"),
        (lambda: aw.HideAndSeek((4, 17))(torch.zeros(1, HEIGHT, WIDTH)), "17 pixels covers all of an image of 11x17"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(aw.UserError, match=words):
        make()
