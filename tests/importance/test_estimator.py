"""What every estimator refuses when it is called directly: all that would leave maps that say something else."""

import pytest
import torch
from torch import nn

import augwise as aw
from augwise import UserError
from augwise.catalogue import estimators, find
from augwise.importance.attacks.base import Victims
from augwise.importance.attacks.greedy import Greedy
from augwise.importance.attacks.jsma import JSMA
from augwise.importance.attacks.learned_mask import LearnedMask
from augwise.importance.fidelity import erasure_drops, random_windows, window_scores

IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2])
NAMES = [name for name in estimators() if name != "one_pass"]


def classifier():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(4, 3)).eval()  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("images", "labels", "seeds", "says"),
    [
        (IMAGES * 255, LABELS, [0] * 3, r"give them in \[0, 1\]"),
        (torch.where(IMAGES > 0.5, torch.nan, IMAGES), LABELS, [0] * 3, "nan"),
        ((IMAGES * 255).byte(), LABELS, [0] * 3, "torch.uint8"),
        (IMAGES[0], LABELS, [0] * 3, r"give a batch \(B, C, H, W\)"),
        (IMAGES, LABELS.float(), [0] * 3, "torch.float32"),
        (IMAGES, LABELS.int(), [0] * 3, "torch.int32"),
        (IMAGES, LABELS[:2], [0] * 3, "3 images"),
        (IMAGES, LABELS, [0], "1 seeds for 3 images"),
    ],
)
def test_what_is_no_batch_of_pixels_is_refused(name, images, labels, seeds, says):
    with pytest.raises(UserError, match=says):
        find(name, estimators()).load()().estimate(classifier(), images, labels, seeds)


@pytest.mark.parametrize("name", [n for n in NAMES if find(n, estimators()).load().needs_model])
def test_a_model_that_would_mix_images_is_refused_and_left_as_it_was(name):
    model = classifier().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError, match="training mode"):
        find(name, estimators()).load()().estimate(model, IMAGES, LABELS, [0] * 3)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with pytest.raises(UserError, match=r"(a label is|labels 0 to) 12, but .* 3 classes"):
        find(name, estimators()).load()().estimate(classifier(), IMAGES, torch.tensor([0, 1, 12]), [0] * 3)


@pytest.mark.parametrize("attack", [Greedy(), JSMA(), LearnedMask(aw.CDIEA(steps=2))])
@pytest.mark.parametrize(
    ("change", "epsilon", "says"),
    [
        ({}, 8, "8/255"),
        ({}, -1.0, "above 0"),
        ({}, float("nan"), "nan"),
        ({"images": IMAGES * 255}, 0.1, r"\[0, 1\]"),
        ({"labels": LABELS.float()}, 0.1, "labels have"),
        ({"targets": LABELS[:1]}, 0.1, "targets have"),
        ({"seeds": [1]}, 0.1, "1 seeds"),
    ],
)
def test_attacks_refuse_the_same(attack, change, epsilon, says):
    victims = Victims(IMAGES, LABELS, None, [0] * 3)._replace(**change)
    with pytest.raises(UserError, match=says):
        attack.perturb(classifier(), victims, epsilon)
    with pytest.raises(UserError, match="training mode"):
        attack.perturb(classifier().train(), Victims(IMAGES, LABELS, None, [0] * 3), 0.1)


def test_targets_need_a_recipe_that_knows_which_class_they_are():
    victims = Victims(IMAGES, LABELS, LABELS.roll(1), [0] * 3)
    with pytest.raises(UserError, match="say which wrong class"):
        LearnedMask(aw.AdvMaskAttack()).perturb(classifier(), victims, 0.1)


def test_pruning_refuses_bounds_that_are_none():
    delta, mask = torch.zeros_like(IMAGES), torch.ones(3, 16, 16, dtype=torch.bool)
    with pytest.raises(UserError, match="8/255"):
        aw.refine(classifier(), IMAGES, LABELS, delta, mask, 8)
    with pytest.raises(UserError, match="slack=-1"):
        aw.prune(classifier(), IMAGES, LABELS, delta, mask, slack=-1)
    with pytest.raises(UserError, match="training mode"):
        aw.prune(classifier().train(), IMAGES, LABELS, delta, mask)


def test_fidelity_of_maps_or_of_a_model_that_say_nothing_is_refused():
    boxes = random_windows([0, 1, 2], 16, 16, 6, 4)
    with pytest.raises(UserError, match="holds the value nan"):
        window_scores(torch.full((3, 16, 16), torch.nan), boxes, (16, 16))
    with pytest.raises(UserError, match="holds the value -"):
        window_scores(-torch.rand(3, 16, 16), boxes, (16, 16))
    broken = classifier()
    nn.init.constant_(broken[-1].weight, torch.nan)
    with pytest.raises(UserError, match="NaN or infinite logits"):
        erasure_drops(broken, IMAGES, LABELS, boxes)
