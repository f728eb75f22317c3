"""Comparisons that have a name: settings alone, plans without anything trained, and flags that change them."""

import subprocess
import sys

import pytest

from augwise.analysis import presets
from augwise.analysis.compare_plan import CompareConfig, cells, plan, run_of
from augwise.analysis.compare_runs import build, steps_of
from augwise.analysis.presets import PRESETS, preset
from augwise.cli import _parse
from augwise.errors import UserError
from augwise.options import with_preset
from augwise.training.config import TrainConfig

ABOUT = {entry.name: entry.question for entry in PRESETS.values()}


def parsed(*arguments):
    return with_preset(CompareConfig, CompareConfig.preset, ABOUT, list(arguments), "compare", _parse)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_settings_and_leaves_the_rest(name):
    train = TrainConfig(data="npz:x.npz", epochs=7)
    config = CompareConfig.preset(name, train, seeds=4)
    assert (config.train.data, config.train.epochs, config.seeds) == ("npz:x.npz", 7, 4)
    for field, value in preset(name).changes.items():
        assert field == "seeds" or getattr(config, field) == value
    assert len(preset(name).question) < 110


def test_presets_need_no_torch():
    code = (
        "import sys; from augwise.analysis.compare_config import CompareConfig as C; from augwise.analysis.presets "
        "import PRESETS; [C.preset(p) for p in PRESETS]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_evidence_takes_seeds():
    assert CompareConfig.preset("ten-methods").seeds == 5
    assert all(CompareConfig.preset(name).seeds >= 3 for name in PRESETS)


def test_the_crop_of_the_method_is_not_every_arms():
    assert CompareConfig.preset("softened-crops").train.crop_padding == 0
    assert CompareConfig.preset("softened-crops", TrainConfig(crop_padding=4)).train.crop_padding == 0
    assert CompareConfig.preset("softened").train.crop_padding == TrainConfig().crop_padding


def test_presets_about_one_thing_vary_it():
    def found(name, *fields):
        return {tuple(getattr(cell, field) for field in fields) for cell in cells(CompareConfig.preset(name))}

    assert found("mixed-labels", "method", "labels", "rule") == {
        (method, labels, "labels") for method in ("cutmix", "mixup") for labels in ("importance", "half")
    }
    assert found("follow", "method", "follow") == {
        (method, place) for method in ("trivialaugment", "randaugment", "autoaugment") for place in ("image", "map")
    }
    assert found("quantiles", "quantile") == {(0.2,), (0.4,), (0.6,), (0.8,)}
    assert found("windows", "strength", "window") == {(s, w) for s in (8, 12, 16) for w in ("clipped", "inside")}
    assert found("lengths", "strength", "window") == {(s, "inside") for s in (8, 16, 24)}
    assert found("quantiles", "window") == {("inside",)}
    assert found("shapes", "shape", "window") == {("rectangle", "inside"), ("points", ""), ("superpixel", "")}
    assert {method for (method,) in found("ten-methods", "method")} == set(presets.TEN)
    assert found("beyond-centre", "method", "strength", "window") == {
        (method, s, "inside") for method in ("cutout", "trivialaugment") for s in (8, 16)
    }


def test_guarded_mixup_has_the_plain_one_of_all_mixers():
    config = CompareConfig.preset("guarded-mixup")
    assert {(cell.method, cell.strength) for cell in cells(config)} == {("mixup", 1)}
    found = {
        arm: steps_of(run_of(config, cells(config)[0], arm, 0))[-1].guarded for arm in ("plain", "guarded", "control")
    }
    assert found == {"plain": False, "guarded": True, "control": True}
    assert run_of(config, cells(config)[0], "plain", 0) in plan(CompareConfig.preset("mixing"))
    weaker = CompareConfig.preset("mixup-strengths")
    assert {cell.strength for cell in cells(weaker)} == {0.3, 1}
    strong = {run_of(weaker, cell, arm, 0) for cell in cells(weaker) if cell.strength == 1 for arm in found}
    assert strong <= set(plan(config))  # those of α = 1 are run once for both


def test_mixing_has_a_row_for_each_way_and_no_run_too_many():
    config = CompareConfig.preset("mixing")
    config.check()
    found = [(cell.method, cell.option, cell.strength, cell.estimator) for cell in cells(config)]
    assert found[:7] == [
        ("mixup", "", 1, ""),
        ("dmixup", "", 3, ""),
        ("cutmix", "alpha", 1, ""),
        ("dcutmix", "", 3, ""),
        ("dcutmix", "", 5, ""),
        ("saliencydcutmix", "", 3, "saliency"),
        ("saliencydcutmix", "", 3, "cdiea"),
    ]
    assert [(method, estimator) for method, _, _, estimator in found[7:]] == [
        ("puzzlemix", "live"),
        ("comixup", "live"),
    ]
    assert config.every_estimator == ("saliency", "cdiea", "live")
    runs = plan(config)
    assert len(runs) == len(set(runs)) == 5 * (1 + 9)
    assert {run.arm for run in runs} == {"baseline", "plain"}
    # One distribution for all: every image is mixed, with shares of Beta or Dirichlet, α = 1.
    made = [build(run_of(config, cell, "plain", 0)) for cell in cells(config)[:7]]
    said = [repr(step) for step in made]
    assert all("alpha=1" in text and "p=1" in text for text in said), said
    assert [step.draw.k for step in made if hasattr(step, "draw")] == [3, 3, 5, 3, 3]
    live = [run for run in runs if run.estimator == "live"]
    assert {type(steps_of(run)[0]).__name__ for run in live} == {"LiveSaliency"}


def test_flags_change_what_a_preset_says():
    config, name = parsed("--preset", "lengths", "--strengths", "8", "16", "--epochs", "3", "--out", "x")
    assert name == "lengths"
    assert (config.methods, config.strengths) == (("cutout", "trivialaugment"), (8, 16))
    assert (config.train.epochs, str(config.train.out)) == (3, "x")
    config, _ = parsed("--preset=softened-crops", "--out", "x")
    assert (config.rules, config.train.crop_padding, config.methods) == (("soften",), 0, ("crop",))
    config, name = parsed("--out", "x", "--quantiles", "0.2", "0.8", "--length", "0.5")
    assert (name, config.methods, config.quantiles, config.length) == (None, ("cutout",), (0.2, 0.8), 0.5)


def test_help_says_what_each_preset_asks(capsys):
    with pytest.raises(SystemExit):
        parsed("--help")
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert all(f"{name}: {' '.join(line.split()[:4])}" in text for name, line in ABOUT.items())


def test_an_unknown_preset_is_refused_by_name():
    with pytest.raises(UserError, match="did you mean 'ten-methods'"):
        parsed("--preset", "ten-method")
    with pytest.raises(UserError, match="--preset needs a name"):
        parsed("--preset", "--out")
    assert tuple(dict.fromkeys(presets.TEN)) == presets.TEN
    assert len(presets.TEN) == 10
