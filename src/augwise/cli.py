"""The command line: verbs only. Each reads one configuration object and calls the function behind it.

Imports nothing heavy at the top: ``augwise --help`` answers without torch. ``VERB --help`` imports what the verb needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from . import __version__
from .errors import UserError


@dataclass(frozen=True)
class Verb:
    """A word of the command line. ``run`` takes the remaining arguments; ``summary`` is its line of help."""

    summary: str
    run: Callable[[list[str]], None]
    resumable: bool = False


def main(argv: list[str] | None = None) -> None:
    """Entry point. Exit status: 0 done, 2 something of the user's to mend, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Before torch is imported: spinning threads slow everything else on a machine with few cores ten times.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return
    if arguments[0] == "--version":
        print(f"augwise {__version__}")
        return
    verb = VERBS.get(arguments[0])
    if verb is None:
        _fail(f"{arguments[0]!r} is not a verb of augwise: use one of {', '.join(VERBS)}")
    try:
        verb.run(arguments[1:])
    except UserError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        again = f"; go on with the same command:\n  augwise {_quoted(arguments)}" if verb.resumable else ""
        print(f"\nstopped{again}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader (head, say) has gone; so may we, without a traceback from the interpreter's own flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _help() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items())
    return f"""augwise {__version__}: augmentation that keeps the evidence.

usage: augwise VERB [options]        augwise VERB --help explains every option

{verbs}

First look:       augwise quickstart --out qs
                  augwise audit    --data folder:DIR --size 128
Photographs:      augwise finetune --data folder:DIR --model timm:resnet18 --out finetune
One's own data:   augwise train    --data npz:FILE --out base
                  augwise estimate --data npz:FILE --run base --method cdiea --out FILE.maps
                  augwise train    --data npz:FILE --maps FILE.maps --method cutout --length 16 --quantile 0.6
                  augwise compare  --data npz:FILE --methods cutout --strengths 8 16 --out comparison"""


def _fail(message: str) -> NoReturn:
    print(f"augwise: {message}", file=sys.stderr)
    sys.exit(2)


def _quoted(arguments: list[str]) -> str:
    import shlex

    return " ".join(map(shlex.quote, arguments))


def _parse(config: type, verb: str, arguments: list[str]) -> Any:
    """Flat flags, ``--batch-size 64`` as the field ``batch_size``; unknown ones are refused by tyro with a hint."""
    import tyro

    return tyro.cli(
        config,
        prog=f"augwise {verb}",
        args=arguments,
        description=VERBS[verb].summary[0].upper() + VERBS[verb].summary[1:] + ".",
        config=(tyro.conf.OmitArgPrefixes,),
    )


def _estimate(arguments: list[str]) -> None:
    from .analysis.estimate_maps import EstimateConfig, estimate_maps
    from .catalogue import estimators
    from .options import with_method

    config, method = with_method(EstimateConfig, estimators(), "cdiea", arguments, "estimate", _parse)
    estimate_maps(config, method)


def _train(arguments: list[str]) -> None:
    from .analysis.train_run import TrainRun, train_run
    from .catalogue import methods
    from .options import with_method

    config, step = with_method(TrainRun, methods(), None, arguments, "train", _parse)
    train_run(config, step)


def _evaluate(arguments: list[str]) -> None:
    from .analysis.evaluate_run import evaluate_run
    from .training.config import EvaluateConfig

    evaluate_run(_parse(EvaluateConfig, "evaluate", arguments))


def _compare(arguments: list[str]) -> None:
    from .analysis.compare_config import CompareConfig
    from .analysis.presets import PRESETS
    from .options import with_preset

    about = {entry.name: entry.question for entry in PRESETS.values()}
    config, name = with_preset(CompareConfig, CompareConfig.preset, about, arguments, "compare", _parse)
    from .analysis.compare import compare

    title = "Comparison" if name is None else f"Comparison: {name}"
    compare(config, title=title, command=f"augwise compare {_quoted(arguments)}")


def _tune(arguments: list[str]) -> None:
    from .analysis.tune_config import TuneConfig
    from .analysis.tune_space import built_in, from_values
    from .catalogue import find, methods
    from .options import with_ranges

    config, name, given, width = with_ranges(TuneConfig, methods(), "advmask", arguments, "tune", _parse, built_in)
    from .analysis.tune import tune

    options = from_values(find(name, methods()), given, width)
    tune(config, name, options, command=f"augwise tune {_quoted(arguments)}")


def _distil(arguments: list[str]) -> None:
    from .analysis.distil_run import DistilConfig, distil

    distil(_parse(DistilConfig, "distil", arguments), command=f"augwise distil {_quoted(arguments)}")


def _audit(arguments: list[str]) -> None:
    from .analysis.audit_run import AuditConfig, run_audit
    from .catalogue import methods
    from .options import with_method

    config, step = with_method(AuditConfig, methods(), None, arguments, "audit", _parse)
    run_audit(config, step, command=f"augwise audit {_quoted(arguments)}")


def _fidelity(arguments: list[str]) -> None:
    from .analysis.fidelity_config import FidelityConfig

    config = _parse(FidelityConfig, "fidelity", arguments)
    from .analysis.fidelity_run import fidelity

    fidelity(config, command=f"augwise fidelity {_quoted(arguments)}")


def _merge(arguments: list[str]) -> None:
    from .analysis.estimate_maps import MergeConfig, merge_parts

    merge_parts(_parse(MergeConfig, "merge", arguments))


def _show(arguments: list[str]) -> None:
    from .analysis.show import ShowConfig, show

    named = arguments[:1] and not arguments[0].startswith("-")  # the store needs no flag before it
    show(_parse(ShowConfig, "show", ["--store", *arguments] if named else arguments))


def _stores(arguments: list[str]) -> None:
    from typing import Annotated

    from tyro.conf import subcommand

    from .analysis import stores as s

    kinds = (
        Annotated[s.StoreInfo, subcommand("info")]
        | Annotated[s.StoreVerify, subcommand("verify")]
        | Annotated[s.StoreExport, subcommand("export")]
        | Annotated[s.StoreImport, subcommand("import")]
    )
    s.stores(_parse(kinds, "stores", arguments or ["--help"]))  # pyright: ignore[reportArgumentType]


def _analyse(arguments: list[str]) -> None:
    from typing import Annotated

    from tyro.conf import subcommand

    from .analysis import analyse_config as a

    kinds = (
        Annotated[a.AnalyseLandscape, subcommand("landscape")]
        | Annotated[a.AnalyseHessian, subcommand("hessian")]
        | Annotated[a.AnalyseNoise, subcommand("noise")]
        | Annotated[a.AnalyseRobustness, subcommand("robustness")]
        | Annotated[a.AnalyseOod, subcommand("ood")]
        | Annotated[a.AnalyseNatural, subcommand("natural")]
        | Annotated[a.AnalyseCalibration, subcommand("calibration")]
        | Annotated[a.AnalyseFarther, subcommand("farther")]
        | Annotated[a.AnalyseCam, subcommand("cam")]
        | Annotated[a.AnalyseEmbedding, subcommand("embedding")]
        | Annotated[a.AnalyseGradients, subcommand("gradients")]
        | Annotated[a.AnalyseCurves, subcommand("curves")]
    )
    config = _parse(kinds, "analyse", arguments or ["--help"])  # pyright: ignore[reportArgumentType]
    from .analysis.analyse import analyse

    analyse(config, command=f"augwise analyse {_quoted(arguments)}")


def _attack_table(arguments: list[str]) -> None:
    from .analysis.attack_table import AttackTableConfig, attack_table

    config = _parse(AttackTableConfig, "attack-table", arguments)
    attack_table(config, command=f"augwise attack-table {_quoted(arguments)}")


def _select(arguments: list[str]) -> None:
    from .analysis.select_config import SelectConfig

    config = _parse(SelectConfig, "select", arguments)
    from .analysis.select_run import select_images

    select_images(config, command=f"augwise select {_quoted(arguments)}")


def _search(arguments: list[str]) -> None:
    from .training.search_config import SearchConfig

    config = _parse(SearchConfig, "search", arguments)
    from .analysis.search_run import search_architecture

    search_architecture(config, command=f"augwise search {_quoted(arguments)}")


def _report(arguments: list[str]) -> None:
    from .report.build import ReportConfig, report

    named = arguments[:1] and not arguments[0].startswith("-")  # the folders need no flag before them
    config = _parse(ReportConfig, "report", ["--results", *arguments] if named else arguments)
    print(report(*config.results, out=config.out, title=config.title))


def _reproduce(arguments: list[str]) -> None:
    from .recipes.reproduce import ReproduceConfig, reproduce

    named = arguments[:1] and not arguments[0].startswith("-")  # the table needs no flag before it
    config = _parse(ReproduceConfig, "reproduce", ["--recipe", *arguments] if named else arguments)
    reproduce(config, command=f"augwise reproduce {_quoted(arguments)}")


def _quickstart(arguments: list[str]) -> None:
    from .recipes.quickstart import QuickstartConfig, quickstart

    quickstart(_parse(QuickstartConfig, "quickstart", arguments))


def _finetune(arguments: list[str]) -> None:
    from .recipes.finetune import FinetuneConfig, finetune

    finetune(_parse(FinetuneConfig, "finetune", arguments))


VERBS = {
    "quickstart": Verb("the whole job on handwritten digits, in minutes: maps, arms, table, page", _quickstart, True),
    "audit": Verb("what augmentations destroy in your images: a first look, no maps or model needed", _audit),
    "finetune": Verb("fine-tune a classifier of photographs, plain, guarded and control: table, page", _finetune, True),
    "estimate": Verb("find out once per data set which pixels decide an image's class", _estimate, True),
    "fidelity": Verb(
        "how well maps predict what erasing costs a network: every estimator side by side", _fidelity, True
    ),
    "distil": Verb("train a small network that gives importance maps in one forward pass", _distil, True),
    "show": Verb("draw the maps of a store over their images", _show),
    "merge": Verb("join the parts of a store that several machines made", _merge),
    "stores": Verb("what a store holds and whether it is sound; pack it into one small file, and back", _stores),
    "select": Verb("choose training images by how a classifier sees them: files for --subset, page", _select, True),
    "train": Verb("train a classifier with a plain or guarded augmentation", _train, True),
    "search": Verb("search an architecture by PC-DARTS, on all images or few: genotype for train", _search, True),
    "evaluate": Verb("accuracy per class, confusion matrix and calibration of a trained classifier", _evaluate),
    "analyse": Verb(
        "what trained classifiers are like: landscape, curvature, robustness, calibration ...", _analyse, True
    ),
    "compare": Verb("plain, guarded and control side by side, paired by seed: table and page", _compare, True),
    "attack-table": Verb("sparse attacks side by side: success, pixels changed, norms, cost", _attack_table, True),
    "tune": Verb("search the options of a method on validation images, then ask the test images", _tune, True),
    "reproduce": Verb("run a table of a paper at a chosen scale, beside its printed numbers", _reproduce, True),
    "report": Verb("build the page of results again, or one page of several", _report),
}
