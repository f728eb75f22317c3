"""What every mixer of the catalogue owes: a label's weights are the shares of the pixels, by area measured per pixel;
masks are mixed as pixels are, or refused; what cannot be is said, not guessed."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

import augwise as aw
from augwise import catalogue
from augwise.mixing import Mixer

HEIGHT, WIDTH = 9, 14
MIXERS = {entry.name: entry.load() for entry in catalogue.methods().values() if entry.kind == "mixing"}
CUT = [name for name, mixer in MIXERS.items() if mixer.mix_masks is not Mixer.mix_masks]
REQUIRED = {"cutmix": {"length": 6}}


def made(name: str, **options) -> Mixer:
    return MIXERS[name](**{**REQUIRED.get(name, {}), **options})


def takes(name: str) -> set[str]:
    return set(inspect.signature(MIXERS[name]).parameters)


def every() -> list[tuple[str, dict]]:
    cases = []
    for name in MIXERS:
        cases.append((name, {}))
        if "k" in takes(name):
            cases += [(name, {"k": k}) for k in (1, 2, 5)]
        if "per_batch" in takes(name):
            cases.append((name, {"per_batch": True}))
        if "quantile" in takes(name):
            cases.append((name, {"quantile": 0.6}))
        if "p" in takes(name):
            cases.append((name, {"p": 0.5}))
        cases += [(name, {"saliency": kind}) for kind in ("map", "fine", "spectral") if "saliency" in takes(name)]
    return cases


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def colours(n: int, dtype: torch.dtype) -> aw.Batch:
    """Image i is full in channel i and empty in all others, so a mixed pixel tells how much it has of each image."""
    images = torch.eye(n)[:, :, None, None].expand(n, n, HEIGHT, WIDTH)
    images = (images * 255).to(dtype) if dtype == torch.uint8 else images.to(dtype)
    maps = torch.rand(n, HEIGHT, WIDTH, generator=seeded(n)) * (torch.rand(n, HEIGHT, WIDTH, generator=seeded(1)) < 0.3)
    return aw.Batch.of(images.contiguous(), torch.arange(n), maps)


@pytest.mark.parametrize(("name", "options"), every(), ids=str)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64], ids=["uint8", "float64"])
def test_label_mass_is_pixel_mass(name: str, options: dict, dtype: torch.dtype):
    """Per pixel the shares of all images sum to 1, and their mean over the picture is the label."""
    mixer, mixed_at_all = made(name, **options), False
    for n, seed in ((1, 0), (2, 1), (12, 2), (12, 3)):
        mixed = mixer(colours(n, dtype), generator=seeded(seed))
        shares = mixed.images.as_subclass(Tensor).double() / (255 if dtype == torch.uint8 else 1)
        step = 0.5 * n / 255 if dtype == torch.uint8 and name not in CUT else 1e-6  # blended levels are rounded
        assert (shares.sum(1) - 1).abs().max() <= step
        measured = shares.mean((2, 3))
        assert (mixed.labels.dense(n).double() - measured).abs().max() <= step
        mixed_at_all |= bool((measured.diagonal() < 0.99).any())
        if name in CUT:
            assert ((shares < 1e-6) | (shares > 1 - 1e-6)).all()
    assert mixed_at_all == (options.get("k") != 1)


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.bool], ids=str)
def test_masks_are_cut_as_the_pixels_are(name: str, kind: torch.dtype):
    n = 12
    batch = colours(n, torch.uint8)
    values = torch.arange(n) % 2 if kind == torch.bool else torch.arange(n)
    masks = values.to(kind)[:, None, None].expand(n, HEIGHT, WIDTH).contiguous()
    before = masks.clone()
    mixer = made(name)
    mixed, joined = mixer(batch, generator=seeded(), masks=masks)
    whose = mixed.images.as_subclass(Tensor).argmax(1)
    assert joined.dtype == kind
    assert torch.equal(joined, values[whose].to(kind))
    assert torch.equal(masks, before)
    assert torch.equal(mixed.images, mixer(batch, generator=seeded()).images)
    assert len(whose.unique()) > n / 2
    if not mixer.guarded:
        images, labels, of_pair = mixer(
            (batch.images.as_subclass(Tensor), batch.labels), generator=seeded(), masks=tv_tensors.Mask(masks)
        )
        assert type(of_pair) is tv_tensors.Mask
        assert torch.equal(of_pair, joined)
        assert torch.equal(images, mixed.images)
        assert torch.equal(labels.dense(n), mixed.labels.dense(n))


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, {}) for name in CUT if name != "resizemix"), ("cutmix", {"partner": "other", "window": "inside"})],
    ids=str,
)
def test_masks_move_with_their_pixels(name: str, options: dict):
    """Pictures and masks of the same noise stay the same: also where the part shown comes from another place."""
    n = 8
    noise = torch.randint(0, 256, (n, 1, HEIGHT, WIDTH), dtype=torch.uint8, generator=seeded())
    batch = aw.Batch.of(noise, torch.arange(n), torch.rand(n, HEIGHT, WIDTH, generator=seeded(1)))
    mixed, joined = made(name, **options)(batch, generator=seeded(2), masks=noise[:, 0].long())
    assert torch.equal(mixed.images[:, 0].long(), joined)
    assert not torch.equal(joined, noise[:, 0].long())


@pytest.mark.parametrize("name", [name for name in MIXERS if name not in CUT])
def test_what_blends_refuses_masks_before_it_draws(name: str):
    generator = seeded()
    state = generator.get_state()
    with pytest.raises(aw.UserError, match="one that cuts, such as CutMix"):
        made(name)(colours(4, torch.uint8), generator=generator, masks=torch.zeros(4, HEIGHT, WIDTH, dtype=torch.uint8))
    assert torch.equal(generator.get_state(), state)


@pytest.mark.parametrize("name", MIXERS)
def test_boxes_and_keypoints_are_refused(name: str):
    mixer, images = made(name), torch.rand(2, 3, HEIGHT, WIDTH)
    boxes = tv_tensors.BoundingBoxes(torch.zeros(2, 4), format="XYXY", canvas_size=(HEIGHT, WIDTH))
    with pytest.raises(aw.UserError, match=r"BoundingBoxes.*masks"):
        mixer(images, boxes)
    with pytest.raises(aw.UserError, match=r"boxes.*masks"):
        mixer(images, [{"boxes": torch.zeros(1, 4), "labels": torch.zeros(1)}] * 2)
    with pytest.raises(aw.UserError, match=r"keypoints.*masks"):
        mixer((images, {"keypoints": torch.zeros(2, 5, 2)}))
    if hasattr(tv_tensors, "KeyPoints"):
        with pytest.raises(aw.UserError, match=r"KeyPoints.*masks"):
            mixer((images, (torch.arange(2), tv_tensors.KeyPoints(torch.zeros(2, 5, 2), canvas_size=(HEIGHT, WIDTH)))))


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        (torch.zeros(2, HEIGHT, WIDTH), "float32.*integer"),
        (torch.zeros(2, WIDTH, HEIGHT, dtype=torch.long), r"\(2, 14, 9\).*\(2, 9, 14\)"),
        (torch.zeros(2, 1, HEIGHT, WIDTH, dtype=torch.long), r"shape \(2, 9, 14\)"),
        ([[0]], "a list"),
        (tv_tensors.BoundingBoxes(torch.zeros(2, 4), format="XYXY", canvas_size=(9, 14)), "BoundingBoxes"),
    ],
    ids=["float", "turned", "channels", "list", "boxes"],
)
def test_wrong_masks_are_refused(masks, words: str):
    with pytest.raises(aw.UserError, match=words):
        aw.CutMix(length=4)(torch.rand(2, 3, HEIGHT, WIDTH), torch.arange(2), masks=masks)


@pytest.mark.parametrize("name", MIXERS)
def test_bad_labels_and_maps_are_told(name: str):
    mixer, batch = made(name), colours(4, torch.float32)
    with pytest.raises(aw.UserError, match="one integer class per image"):
        mixer(batch._replace(labels=torch.eye(4)))
    with pytest.raises(aw.UserError, match=r"label -100.*without a label"):
        mixer(batch._replace(labels=torch.tensor([0, -100, 1, 2])))
    with pytest.raises(aw.UserError, match="4 images and 3 labels"):
        mixer(batch._replace(labels=torch.arange(3)))
    with pytest.raises(aw.UserError, match=r"\(4, 5, 7\).*one map per image"):
        mixer(batch._replace(importance=aw.ImportanceMap(torch.rand(4, 5, 7))))
    labels = mixer(batch, generator=seeded()).labels
    for loss in (labels.cross_entropy, labels.bce, lambda logits: labels.dense(logits.shape[1])):
        with pytest.raises(aw.UserError, match=r"label is 3.*2 classes"):
            loss(torch.zeros(4, 2))


@pytest.mark.parametrize("name", [name for name in MIXERS if "alpha" in takes(name)])
@pytest.mark.parametrize("alpha", [0, -0.5, float("nan")])
def test_alpha_above_zero(name: str, alpha: float):
    options = {"length": None} if name == "cutmix" else {}
    with pytest.raises(aw.UserError, match=r"alpha=.*above 0"):
        made(name, alpha=alpha, **options)


CHANGES = {
    "alpha": 0.7, "k": 4, "labels": "half", "p": 0.5, "per_batch": True, "normalize": True, "length": 3,
    "quantile": 0.5, "threshold": 0.4, "partner": "other", "window": "inside", "reduce": "mean", "sharpness": 2.0,
    "rescale": False, "saliency": "spectral", "place": "uniform", "decay": 1.0, "smallest": 0.2, "largest": 0.7,
    "blocks": (3,), "beta": 0.5, "seams": 0.4, "eta": 0.3, "n_labels": 2, "border": 3, "transport": False, "t_size": 5,
    "t_cost": 0.6, "part": 9, "diversity": 0.9, "omega": 0.2, "iterations": 7, "blend": False,
}  # fmt: skip


@pytest.mark.parametrize("name", MIXERS)
def test_descriptions_tell_every_argument(name: str):
    """A resumed run is recognised by it."""
    changes = {option: {option: CHANGES[option]} for option in takes(name)}
    if name == "cutmix":
        changes["alpha"]["length"] = None
    if name == "comixup":
        changes |= {"blocks": {"blocks": 3}, "threshold": {"threshold": 0.5}}
    told = {repr(made(name, **options)) for options in changes.values()}
    assert len(told | {repr(made(name))}) == len(changes) + 1


def test_no_mixer_is_left_out():
    """The lists above are made of the catalogue: see that it says what they need."""
    assert {"cutmix", "dcutmix", "saliencydcutmix", "saliencymix", "fmix", "resizemix"} <= set(CUT)
    assert {"mixup", "dmixup"} <= set(MIXERS) - set(CUT)
