"""The command line: help without torch, errors without tracebacks, options that belong to the method."""

import subprocess
import sys
from pathlib import Path

import pytest

from augwise.cli import VERBS, main


def refused(capsys, *arguments):
    """The message on stderr of a call that must stop with status 2."""
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    assert stopped.value.code == 2
    output = capsys.readouterr()
    assert "Traceback" not in output.out + output.err
    return " ".join((output.out + output.err).replace("│", " ").split())


def test_help_answers_without_torch():
    code = "import sys; from augwise.cli import main; main(['--help']); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(verb in done.stdout for verb in VERBS)


def test_version(capsys):
    from augwise import __version__

    main(["--version"])
    assert capsys.readouterr().out == f"augwise {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["estimat"], "'estimat' is not a verb"),
        (["estimate", "--method", "cdeia"], "did you mean 'cdiea'"),
        (["estimate", "--data", "digts"], "source 'digts' is unknown"),
        (["estimate", "--method", "occlusion", "--epsilon", "0.1"], "epsilon"),
        (["estimate", "--method", "cdiea", "--epsilon", "8"], "epsilon is in pixel values of [0, 1]"),
        (["estimate", "--method", "occlusion"], "give --run"),
        (["estimate", "--part", "4/3", "--method", "centre"], "--part 4/3"),
        (["train", "--method", "cutout", "--length", "16", "--windw", "inside"], "windw"),
        (["train", "--method"], "--method needs a name"),
        (["train", "--epochs", "0", "--out", "{tmp}/a"], "epochs=0"),
        (["train", "--method", "cutout", "--length", "16", "--quantile", "0.6", "--out", "{tmp}/b"], "importance maps"),
        (["train", "--control", "--out", "{tmp}/c"], "--maps"),
        (["train", "--data", "npz:{tmp}/none.npz", "--out", "{tmp}/d"], "none.npz"),
        (["evaluate", "--run", "{tmp}/nowhere"], "nowhere"),
        (["compare", "--methods", "cutot", "--out", "{tmp}/e"], "did you mean 'cutout'"),
        (["show", "{tmp}/no.maps"], "no.maps does not exist"),
        (["show", "--store", "{tmp}/no.maps"], "no.maps does not exist"),
        (["show", "{tmp}/no.maps", "--count", "0"], "--count 0"),
        (["report", "{tmp}/none"], "none does not exist"),
        (["report", "--out", "{tmp}/x.html"], "results"),
        (["merge", "--out", "{tmp}/whole", "--parts", "{tmp}/one"], "one does not exist"),
        (["show", "{tmp}/no.maps", "--broken", "ignore"], "ignore"),
        (["stores", "inf", "{tmp}/no.maps"], "info"),
        (["stores", "info", "{tmp}/no.maps"], "no.maps does not exist"),
        (["stores", "verify", "{tmp}/no.maps"], "no.maps does not exist"),
        (["stores", "export", "{tmp}/no.maps", "{tmp}/a"], "no.maps does not exist"),
        (["stores", "import", "{tmp}/no.file", "{tmp}/a"], "no.file does not exist"),
        (["stores", "export", "{tmp}/no.maps"], "FILE"),
        (["analyse", "landscap"], "landscape"),
        (["analyse", "hessian"], "--runs"),
        (["analyse", "noise", "--runs", "{tmp}/nowhere", "--out", "{tmp}/h"], "nowhere"),
        (["estimate", "--num-workers", "-1", "--method", "centre"], "--num-workers -1"),
        (["train", "--method", "randaugment", "--magnitude", "31", "--out", "{tmp}/f"], "magnitude=31"),
        (["train", "--method", "colorjitter", "--strength", "1.5", "--out", "{tmp}/g"], "strength=1.5"),
    ],
)
def test_mistakes_are_named(arguments, says, capsys, tmp_path):
    assert says in refused(capsys, *[a.replace("{tmp}", str(tmp_path)) for a in arguments])


def test_help_of_a_method_shows_its_own_options(capsys):
    for arguments, own, foreign in [
        (["train", "--method", "cutout", "--help"], ["--length", "--fill", "--quantile"], ["--alpha "]),
        (["train", "--method", "cutmix", "--help"], ["--alpha", "--labels"], ["--fill "]),
        (["estimate", "--method", "occlusion", "--help"], ["--stride", "--broken", "--num-workers"], ["--epsilon "]),
        (["stores", "--help"], ["info", "verify", "export", "import"], ["--data"]),
        (["stores"], ["info", "verify", "export", "import"], ["--data"]),
        (
            ["analyse", "--help"],
            ["landscape", "hessian", "robustness", "calibration", "cam", "embedding", "gradients"],
            ["--runs"],
        ),
        (["analyse", "cam", "--help"], ["--runs", "--maps", "--layer"], ["--epsilons"]),
        (["analyse", "robustness", "--help"], ["--runs", "--grey", "--limit"], ["--sigmas"]),
        (["stores", "verify", "--help"], ["STORE", "--data", "--broken"], ["--top"]),
    ]:
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert not stopped.value.code
        text = capsys.readouterr().out
        assert all(option in text for option in own)
        assert not any(option in text for option in foreign)


def test_every_method_can_be_chosen():
    """Signatures and docstrings become options: every argument of every method has a line of help and parses."""
    from augwise.catalogue import estimators, methods
    from augwise.options import _notes, options_of

    for entry in [*methods().values(), *estimators().values()]:
        target = entry.load()
        made = options_of(entry)
        needed = {"length": 8} if entry.name in ("cutout", "cutmix") else {}
        made(**needed)
        if entry.kind != "estimator":
            names = set(made.__dataclass_fields__)
            assert names <= set(_notes(target.__doc__)), f"{entry.name}: {names - set(_notes(target.__doc__))}"
            assert not entry.strength or entry.strength in names


def test_the_page_of_quickstart_names_the_command_that_made_it():
    from augwise.recipes.command import command_line
    from augwise.recipes.quickstart import QuickstartConfig

    assert command_line("quickstart", QuickstartConfig()) == "augwise quickstart --out quickstart"
    config = QuickstartConfig(out=Path("some/qs"), epochs=2, limit=100, quiet=True)
    assert command_line("quickstart", config) == "augwise quickstart --out qs --epochs 2 --limit 100"


def test_every_verb_has_a_function_and_every_public_name_is_there():
    import augwise as aw

    functions = {verb.replace("-", "_") for verb in VERBS}
    assert functions <= set(aw.__all__)
    assert all(getattr(aw, name) is not None for name in aw.__all__)
    assert all(callable(getattr(aw, name)) for name in functions)
