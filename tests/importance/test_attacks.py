"""The field's sparse attacks: each succeeds on a small network, keeps its own bounds, and minds its own image."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from augwise.analysis.attack_list import Settings, default_names, find_attack, learned, names
from augwise.errors import UserError
from augwise.importance.attacks.base import Victims
from augwise.importance.attacks.learned_mask import LearnedMask
from augwise.importance.attacks.sparsefool import SparseFool, cross
from augwise.importance.cdiea import wrong_class
from augwise.importance.margin import margin
from importance.test_cdiea import pictures
from importance.test_pruning import EPSILON, linear
from reference.pruning import plane

SETTINGS = Settings(steps=60, cw_rounds=15)
OWN = [name for name in names() if not name.startswith(("foolbox", "torchattacks"))]
BOUNDED = ("cdiea-refined", "pgd-l0", "greedy-refined", "greedy", "cdiea-pruned", "jsma", "sparsefool")


def victims(batch: int, target: bool = False):
    model, images, labels = pictures(batch)
    targets = wrong_class(model(images), labels, "most_likely", []) if target else None
    return model, Victims(images, labels, targets, list(range(batch)))


@pytest.mark.parametrize("name", OWN)
def test_it_fools_keeps_its_bounds_and_is_sparse(name):
    for target in (False, True):
        attack = find_attack(name, SETTINGS, "most_likely" if target else "untargeted")
        if target and not attack.targeted:
            continue
        model, found = victims(8, target)
        before = found.images.clone()
        with torch.no_grad():
            delta = attack.perturb(model, found, EPSILON)
        assert torch.equal(found.images, before)
        perturbed = found.images + delta
        assert ((perturbed >= -1e-12) & (perturbed <= 1 + 1e-12)).all()
        assert not attack.bounded or delta.abs().max() <= EPSILON + 1e-12
        won = margin(model(perturbed), found.labels, found.targets) > 0
        assert won.sum() >= 5, f"{name} fooled {int(won.sum())} of 8"
        assert (delta[won] != 0).any(1).double().mean() < 0.75


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in OWN
        if "-" not in name or name in ("cdiea-refined", "pgd-l0", "cw-l0", "sparse-rs", "sigma-zero")
    ],
)
def test_an_image_does_not_depend_on_its_neighbours(name):
    attack = find_attack(name, Settings(steps=30, cw_rounds=4, refine_rounds=4), "untargeted")
    if isinstance(attack, SparseFool):
        attack = replace(attack, steps=4)  # rounding grows several times with every plane
    model, found = victims(4)
    with torch.no_grad():
        together = attack.perturb(model, found, EPSILON)
        for i in (3, 1):
            alone = attack.perturb(model, found.rows(torch.tensor([i])), EPSILON)
            torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", BOUNDED)
def test_none_needs_fewer_pixels_than_a_linear_classifier_does(name):
    model, images, labels, least = linear()
    with torch.no_grad():
        delta = find_attack(name, SETTINGS, "untargeted").perturb(
            model, Victims(images, labels, None, list(range(len(images)))), EPSILON
        )
    won = (margin(model(images + delta), labels) > 0).tolist()
    counts = (delta != 0).any(1).sum((1, 2)).tolist()
    assert any(won)
    assert all(count >= n for count, n, good in zip(counts, least, won, strict=True) if good)
    if name.endswith("refined"):
        assert all(won)
        assert counts == least


def test_sparsefool_goes_on_from_the_last_point():
    """What one plane does not reach, the next adds to; crossed from the image anew, it would start over."""
    model, found = victims(8)
    with torch.no_grad():
        few, more = (SparseFool(steps=n, lam=0.5).perturb(model, found, EPSILON) for n in (1, 2))
        missed = margin(model(found.images + few), found.labels) <= 0
        assert missed.any()
        assert torch.equal(few[~missed], more[~missed])
        went_on = ((few != 0) & (more != 0))[missed].flatten(1).sum(1) / (few != 0)[missed].flatten(1).sum(1)
        assert (went_on > 0.9).all()
        anew = SparseFool(steps=2, lam=0.5, anew=True).perturb(model, found, EPSILON)
    assert not torch.equal(anew[missed], more[missed])


def test_crossing_a_plane_equals_the_loop():
    normal = torch.randn(6, 2, 3, 4, dtype=torch.float64)
    normal[:, 0, 0, 0] = 0
    low, high = -torch.rand_like(normal), torch.rand_like(normal)
    gap = torch.tensor([0.5, -0.7, 3.0, -2.5, 1e3, 0.01], dtype=torch.float64)
    found = cross(normal, gap, low, high)
    for i in range(6):
        torch.testing.assert_close(found[i], plane(normal[i], gap[i].item(), low[i], high[i]), rtol=0, atol=1e-12)


def test_the_learned_mask_is_told_its_target():
    model, found = victims(3, target=True)
    recipe = learned()["cdiea"](steps=5)
    with pytest.raises(UserError, match="other classes"):
        LearnedMask(recipe, "least_likely").perturb(model, found, EPSILON)
    LearnedMask(recipe, "most_likely").perturb(model, found, EPSILON)


def test_names():
    assert set(default_names()) <= set(names())
    assert "cw-l0-refined" not in names()
    with pytest.raises(UserError, match="'gredy' is unknown: did you mean 'greedy'"):
        find_attack("gredy", SETTINGS, "untargeted")
    with pytest.raises(UserError, match="steps must be at least 1"):
        find_attack("pgd-l0", Settings(steps=-4), "untargeted").__class__(steps=0)


@pytest.mark.parametrize("name", ["foolbox-fmn", "torchattacks-sparsefool"])
def test_other_libraries(name):
    attack = find_attack(name, SETTINGS, "untargeted")
    pytest.importorskip(attack.package)
    model, found = victims(4)
    model, found = model.float(), found._replace(images=found.images.float())
    with torch.no_grad():
        perturbed = found.images + attack.perturb(model, found, EPSILON)
    assert 0 <= perturbed.min() <= perturbed.max() <= 1
    assert (margin(model(perturbed), found.labels) > 0).sum() >= 2
