"""The verb attack-table: its numbers from the kept perturbations by loops, resuming, refusals, the page."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import augwise as aw
from augwise.analysis import attack_cells
from augwise.analysis.attack_measure import Measured, against, common, measure, row_of
from augwise.analysis.attack_results import read_perturbation
from augwise.analysis.attack_table import AttackTableConfig, _key, attack_table, fraction
from augwise.cli import main
from augwise.errors import UserError
from augwise.importance.attacks.base import Victims
from augwise.importance.attacks.greedy import Greedy
from augwise.training.config import TrainConfig
from augwise.training.train import train
from augwise.training.trained import trained
from reference.pruning import fooled

ATTACKS = ("cdiea", "cdiea-pruned", "greedy", "sparsefool", "sigma-zero")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small classifier of digits, and a table of it."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("attacks")
    train(TrainConfig(limit=150, epochs=5, batch_size=15, eval_limit=50, quiet=True, out=out / "run"))
    config = AttackTableConfig(
        run=out / "run",
        limit=12,
        attacks=ATTACKS,
        epsilons=("64/255",),
        targets=("untargeted", "most_likely"),
        steps=12,
        cases=2,
        batch_size=7,
        quiet=True,
        out=out / "table",
    )
    return config, attack_table(config, command="augwise attack-table <&>")


def test_numbers_from_the_perturbations_by_loops(made):
    config, results = made
    model = trained(config.run).model
    source = aw.open_source("digits", "test", limit=12)
    pictures = [(source[i][0].as_subclass(torch.Tensor).float() / 255, source[i][1]) for i in range(12)]
    right = [(image, label) for image, label in pictures if model(image[None]).argmax() == label]
    assert results["data"]["attacked"] == len(right) > 6
    assert results["data"]["images"] == 12
    goals = [(g["goal"], g["epsilon"]) for g in results["groups"]]
    assert goals == [(goal, e) for goal in config.targets for e in (64 / 255, None)]
    for group in results["groups"]:
        names = [row["attack"] for row in group["rows"]]
        assert ("sigma-zero" in names) == (group["epsilon"] is None)
        assert ("sparsefool" in names) == (group["epsilon"] is not None and group["goal"] == "untargeted")
        for row in group["rows"]:
            cell = attack_cells.Cell(row["attack"], group["epsilon"], group["goal"])
            deltas = read_perturbation(config.out / "perturbations" / cell.file)
            pixels, entries, l2, linf, counted = [], [], [], [], []
            for (image, label), delta in zip(right, deltas, strict=True):
                assert ((image + delta >= -1e-5) & (image + delta <= 1 + 1e-5)).all()
                assert group["epsilon"] is None or delta.abs().max() <= group["epsilon"] + 1e-5
                logits = model(image[None])[0]
                target = None
                if group["goal"] == "most_likely":
                    target = max((z, c) for c, z in enumerate(logits.tolist()) if c != label)[1]
                changed = [[float(v) for v in column] for column in delta.flatten(1).T if (column.abs() > 1e-6).any()]
                counted.append(32 * 32)
                if fooled(model, image + delta, label, target, 0.0):
                    pixels.append(len(changed))
                    entries.append(sum(abs(v) > 1e-6 for column in changed for v in column))
                    l2.append(math.sqrt(float((delta.double() ** 2).sum())))
                    linf.append(float(delta.abs().max()))
                    counted[-1] = pixels[-1]
            assert row["n"] == len(right)
            assert row["success"]["rate"] == pytest.approx(len(pixels) / len(right))
            assert row["with_failures"] == pytest.approx(np.mean(counted))
            assert (row["outside_epsilon"], row["outside_box"], row["keeps_bounds"]) == (0, 0, True)
            for key, values in {"pixels": pixels, "entries": entries, "l2": l2, "linf": linf}.items():
                assert (row[key] is None) == (not values)
                if values:
                    assert row[key]["mean"] == pytest.approx(np.mean(values), rel=1e-5)
            if len(pixels) > 1 and np.std(pixels) > 0:
                half = 0.5 * (row["pixels"]["high"] - row["pixels"]["low"])
                assert 1.9 < half / (np.std(pixels, ddof=1) / math.sqrt(len(pixels))) < 13


def test_ranks_and_what_stands_behind_the_first(made):
    _, results = made
    for group in results["groups"]:
        order = [row["with_failures"] for row in group["rows"]]
        assert order == sorted(order)
        assert [row["rank"] for row in group["rows"]] == [order.index(value) + 1 for value in order]
        assert group["rows"][0]["behind"] is None
    bounded = [g for g in results["groups"] if g["epsilon"] is not None]
    for group in bounded:
        found = {row["attack"]: row for row in group["rows"]}
        assert found["cdiea-pruned"]["with_failures"] < found["cdiea"]["with_failures"]
        assert found["cdiea-pruned"]["success"] == found["cdiea"]["success"]
        assert found["cdiea-pruned"]["forwards"] > found["cdiea"]["forwards"] > 12
        assert found["cdiea"]["backwards"] == 12
        assert [found[name]["ours"] for name in ("cdiea", "greedy")] == [True, False]
        assert [found[name]["pass"] for name in ("cdiea", "cdiea-pruned")] == [False, True]
    assert {o["attack"] for o in results["left_out"]} == {"sparsefool"}


def test_a_second_call_computes_nothing_and_one_cell_that_is_lost_alone(made, monkeypatch):
    config, results = made
    computed, real = [], attack_cells.compute

    def watch(model, attack, cell, *rest):
        computed.append(cell)
        return real(model, attack, cell, *rest)

    monkeypatch.setattr(attack_cells, "compute", watch)
    again = attack_table(config, command="augwise attack-table <&>")
    assert computed == []
    assert again["groups"] == results["groups"]
    lost = attack_cells.Cell("greedy", 64 / 255, "most_likely")
    (config.out / "perturbations" / lost.file).unlink()
    again = attack_table(config)
    assert computed == [lost]

    def without_time(found):
        return [[{k: v for k, v in row.items() if k != "seconds"} for row in g["rows"]] for g in found["groups"]]

    assert without_time(again) == without_time(results)
    computed.clear()
    attack_table(replace(config, steps=10, targets=("untargeted",)))
    assert {cell.attack for cell in computed} == {"cdiea", "cdiea-pruned", "sigma-zero"}  # whose constants changed


def test_a_damaged_cell_is_named(made, tmp_path):
    config, _ = made
    folder = tmp_path / "perturbations"
    folder.mkdir()
    cell = attack_cells.Cell("greedy", 64 / 255, "untargeted")
    whole = (config.out / "perturbations" / cell.file).read_bytes()
    for content in (b"no archive", b"", whole[: len(whole) // 2], whole.replace(whole[99:120], bytes(21))):
        (folder / cell.file).write_bytes(content)
        with pytest.raises(UserError, match="is damaged"):
            attack_table(replace(config, out=tmp_path, attacks=("greedy",), targets=("untargeted",)))


class Cheat(Greedy):
    """Moves further than it may."""

    def search(self, model, victims, epsilon):
        return 2 * super().search(model, victims, epsilon)


def test_an_attack_that_breaks_its_bound_is_said_to_and_not_ranked(made, monkeypatch):
    from augwise.importance.attacks import greedy

    config, _ = made
    monkeypatch.setattr(greedy, "Greedy", Cheat)
    config = replace(config, attacks=("greedy", "cdiea"), targets=("untargeted",))
    results = attack_table(replace(config, out=config.out.parent / "cheat"))
    rows = {row["attack"]: row for row in results["groups"][0]["rows"]}
    assert rows["greedy"]["rank"] is None
    assert rows["greedy"]["outside_epsilon"] > 0
    assert results["groups"][0]["rows"][-1]["attack"] == "greedy"
    assert rows["cdiea"]["rank"] == 1
    assert "breaks its bounds" in (config.out.parent / "cheat" / "table.txt").read_text()


def test_measured_by_hand():
    class Sum(torch.nn.Module):
        def forward(self, x):
            return torch.stack([x.sum((1, 2, 3)), 2 - x.sum((1, 2, 3))], 1)

    images = torch.zeros(3, 2, 2, 2)
    delta = torch.zeros_like(images)
    delta[0, :, 0, 0] = torch.tensor([0.6, 0.8])
    delta[1, 0, 1, 1] = 1.002 / 255
    delta[2] = 0.5 / 255 - 1e-4
    found = measure(Sum().eval(), images, torch.tensor([1, 1, 1]), None, delta, 0.7)
    assert found.fooled.tolist() == [True, False, False]
    assert (found.pixels.tolist(), found.entries.tolist()) == ([1, 1, 4], [2, 1, 8])
    assert found.l2[0] == pytest.approx(1.0)
    assert found.inside_epsilon.tolist() == [False, True, True]
    assert found.inside_box.all()
    row = row_of(found, 4)
    assert (row["fooled"], row["with_failures"], row["median_pixels"], row["survive_8bit"]) == (1, 3.0, 1.0, 1.0)
    assert common([found, found]) == (1, [1.0, 1.0])
    behind = against(found, found)
    assert behind is not None
    assert (behind["n"], behind["mean"]) == (1, 0.0)
    negative = measure(Sum().eval(), images, torch.tensor([1, 1, 1]), torch.tensor([0, 0, 0]), delta - 0.1, None)
    assert not negative.inside_box.any()
    assert negative.inside_epsilon.all()


def test_a_row_and_what_stands_before_it_by_hand():
    yes = np.ones(4, bool)
    found = Measured(
        fooled=np.array([True, True, True, False]), pixels=np.array([1, 2, 9, 5]), entries=np.array([1, 4, 20, 9]),
        l2=np.array([0.2, 0.4, 0.9, 0.1]), linf=np.array([0.1, 0.4, 0.2, 0.9]), inside_epsilon=yes,
        inside_box=~yes, fooled_8bit=np.array([True, False, False, True]),
    )  # fmt: skip
    row = row_of(found, 16)
    assert (row["n"], row["fooled"], row["median_pixels"], row["largest_linf"]) == (4, 3, 2.0, 0.4)
    assert (row["with_failures"], row["survive_8bit"]) == (7.0, pytest.approx(1 / 3))
    assert (row["outside_epsilon"], row["outside_box"]) == (0, 4)
    means = [row[name]["mean"] for name in ("pixels", "entries", "l2", "linf")]
    assert means == pytest.approx([4.0, 25 / 3, 0.5, 0.7 / 3])
    best = replace(found, fooled=np.array([True, True, False, True]), pixels=np.array([3, 3, 7, 3]))
    behind = against(found, best)
    assert behind is not None
    assert (behind["n"], behind["mean"]) == (2, -1.5)
    assert common([found, best]) == (2, [1.5, 3.0])


def test_eight_bits_can_undo_an_attack():
    class Sum(torch.nn.Module):
        def forward(self, x):
            return torch.stack([x.sum((1, 2, 3)), 2 - x.sum((1, 2, 3))], 1)

    delta = torch.full((2, 1, 1, 7), 36.45 / 255)  # 255.15 levels in all, 252 when rounded
    delta[1] = 37 / 255
    found = measure(Sum().eval(), torch.zeros(2, 1, 1, 7), torch.tensor([1, 1]), None, delta, None)
    assert found.fooled.tolist() == [True, True]
    assert found.fooled_8bit.tolist() == [False, True]


def test_a_cell_is_known_by_model_images_labels_and_seed():
    victims = Victims(torch.rand(3, 1, 4, 4), torch.tensor([0, 1, 0]), None, [1, 2, 3])
    model, config = torch.nn.Linear(16, 2), AttackTableConfig()
    keys = [
        _key(config, model, victims),
        _key(replace(config, seed=1), model, victims),
        _key(config, torch.nn.Linear(16, 2), victims),
        _key(config, model, victims._replace(images=victims.images.flip(0))),
        _key(config, model, victims._replace(labels=1 - victims.labels)),
    ]
    assert _key(config, model, victims) == keys[0]
    assert all(a != b for i, a in enumerate(keys) for b in keys[:i])


@pytest.mark.parametrize(("text", "value"), [("8/255", 8 / 255), ("0.03", 0.03), ("1", 1.0)])
def test_fractions(text, value):
    assert fraction(text) == value


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--epsilons", "8/0"], "epsilon '8/0'"),
        (["--epsilons", "8"], "epsilon '8' is no bound"),
        (["--epsilons", "eight"], "such as 8/255"),
        (["--attacks", "gredy"], "did you mean 'greedy'"),
        (["--attacks", "cw-l0-refined"], "'cw-l0-refined' is unknown"),
        (["--targets", "nearest"], "targets"),
        (["--limit", "0"], "--limit 0"),
        (["--cw-rounds", "0"], "--cw-rounds 0"),
        ([], "give --run"),
        (["--run", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, says, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["attack-table", *arguments, "--quiet", "--out", str(tmp_path / "a")])
    assert stopped.value.code == 2
    output = capsys.readouterr()
    assert says in " ".join((output.out + output.err).replace("│", " ").split())
    assert "Traceback" not in output.err


def test_missing_packages_are_left_out_with_their_cure(made, monkeypatch):
    import sys

    config, _ = made
    monkeypatch.setitem(sys.modules, "foolbox", None)
    config = replace(config, attacks=("foolbox-fmn", "foolbox-fmn-pruned", "greedy"), targets=("untargeted",))
    results = attack_table(replace(config, out=config.out.parent / "missing"))
    assert [left["attack"] for left in results["left_out"]] == ["foolbox-fmn", "foolbox-fmn-pruned"]
    assert all("pip install augwise[attacks]" in left["why"] for left in results["left_out"])
    assert [row["attack"] for row in results["groups"][0]["rows"]] == ["greedy"]
