"""The field's sparse attacks equal the slow ones of `reference.attacks`, image by image, with and without a target."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from augwise.importance import sparse
from augwise.importance.advmask import AdvMaskAttack
from augwise.importance.attacks.base import SparsePerturbation, Victims
from augwise.importance.attacks.cw_l0 import CarliniWagnerL0
from augwise.importance.attacks.greedy import Greedy
from augwise.importance.attacks.jsma import JSMA
from augwise.importance.attacks.learned_mask import LearnedMask
from augwise.importance.attacks.pgd_l0 import PGDL0
from augwise.importance.attacks.pruned import Pruned
from augwise.importance.attacks.sapf import SAPF
from augwise.importance.attacks.sigma_zero import SigmaZero
from augwise.importance.attacks.sparse_rs import SparseRS
from augwise.importance.attacks.sparsefool import SparseFool
from augwise.importance.cdiea import wrong_class
from augwise.importance.margin import margin
from augwise.importance.pruning import prune, refine
from reference import attacks as slow
from reference.attacked import pictures

EPSILON = 0.2
SEEDS = [5, 8, 1]


def victims(target: bool) -> tuple[torch.nn.Module, Victims]:
    model, images, labels = pictures(3)
    targets = wrong_class(model(images), labels, "least_likely", []) if target else None
    return model, Victims(images, labels, targets, SEEDS)


# attack, slow form of (model, image, label, target, seed), and how many of six images are fooled at least and at most
CASES: dict[str, tuple[SparsePerturbation, Callable[..., Tensor], int, int]] = {
    "greedy": (Greedy(growth=3), lambda *a: slow.greedy(*a[:4], EPSILON, 3, 1.0), 5, 6),
    "greedy-gives-up": (Greedy(growth=2, most=0.1), lambda *a: slow.greedy(*a[:4], EPSILON, 2, 0.1), 0, 4),
    "jsma": (JSMA(per_step=3), lambda *a: slow.jsma(*a[:4], EPSILON, 3, 0.5), 3, 6),
    "jsma-gives-up": (JSMA(most=0.08), lambda *a: slow.jsma(*a[:4], EPSILON, 2, 0.08), 0, 4),
    "sigma-zero": (SigmaZero(steps=24), lambda *a: slow.sigma_zero(*a[:4], 24), 5, 6),
    "cw-l0": (CarliniWagnerL0(5, 10, c=0.01), lambda *a: slow.cw_l0(*a[:4], 5, 10, 0.01), 1, 6),
    "pgd-l0": (PGDL0(steps=5, searches=5), lambda *a: slow.pgd_l0(*a, EPSILON, 5, 5), 5, 6),
    "sparse-rs": (SparseRS(16, 4, 3), lambda *a: slow.sparse_rs(*a, 16, 4, 3), 3, 6),
    "sparse-rs-all": (SparseRS(6, 35, 2), lambda *a: slow.sparse_rs(*a, 6, 35, 2), 1, 6),
    "sapf": (SAPF(rounds=4, turns=2, steps=2), lambda *a: slow.sapf(*a[:4], 4, 2, 2), 1, 6),
    "sparsefool": (SparseFool(steps=3), lambda *a: slow.sparsefool(*a[:3], EPSILON, 3, 3.0, 0.02), 2, 3),
}


@pytest.mark.parametrize("name", CASES)
def test_batch_equals_the_slow_reference(name):
    attack, reference, least, most = CASES[name]
    fooled, rounding = 0, 1e-7 if name == "sparsefool" else 1e-9
    for target in (False, True)[: 1 + attack.targeted]:
        model, found = victims(target)
        with torch.no_grad():
            delta = attack.perturb(model, found, EPSILON)
            fooled += int((margin(model(found.images + delta), found.labels, found.targets) > 0).sum())
        for i, seed in enumerate(SEEDS):
            reach = None if found.targets is None else int(found.targets[i])
            expected = reference(model, found.images[i], int(found.labels[i]), reach, seed)
            torch.testing.assert_close(delta[i], expected, rtol=0, atol=rounding)
    assert least <= fooled <= most, f"{fooled} fooled: not every way was gone"


def test_the_learned_mask_is_the_recipe_with_the_comparisons_epsilon_and_seeds():
    model, images, labels = pictures(3)
    method = AdvMaskAttack(steps=6, dense_steps=4)
    found = LearnedMask(method).perturb(model, Victims(images, labels, None, SEEDS), EPSILON)
    expected = sparse.attack(model, images, labels, AdvMaskAttack(steps=6, dense_steps=4, epsilon=EPSILON), SEEDS)
    assert torch.equal(found, expected.delta * expected.mask[:, None])
    assert found.abs().max() > method.epsilon


def test_pruned_is_the_attack_and_then_the_pass():
    model, found = victims(True)
    whole = PGDL0(steps=5, searches=1)
    with torch.no_grad():
        delta = whole.perturb(model, found, EPSILON)
        given = model, found.images, found.labels, delta, (delta != 0).any(1)
        kept = prune(*given, found.targets)
        assert torch.equal(Pruned(whole).perturb(model, found, EPSILON), delta * kept[:, None])
        moved, support = refine(*given, EPSILON, found.targets, rounds=3, steps=4)
        refined = Pruned(whole, rounds=3, steps=4).perturb(model, found, EPSILON)
    assert torch.equal(refined, moved * support[:, None])
    assert not torch.equal(support, kept)
