"""LP-A3, Figure 4: accuracy during training with and without LP-A3, of three tasks.

    augwise reproduce lp-a3/figure-4 --scale short --columns "ResNet-18 / DermaMNIST"

Paper: curves without numbers; LP-A3 speeds up the convergence of every baseline. Settings: FixMatch, PES and a plain
ResNet-18 as in Tables 1, 2 and 3, measured after every epoch; the curves stand on the page, beside the epochs that it
takes to be within half a point of the end. Hours: full as those tables, 6 to 20 per run on one current data-centre GPU,
estimated. Wary: which tasks the figure shows is not in the text; an epoch with LP-A3 takes several times as long, and
steps are what is counted.
"""

from __future__ import annotations

from dataclasses import replace

from . import lp_a3_table_1, lp_a3_table_2, lp_a3_table_3
from .recipe import Job, Place, Recipe, Scale
from .training import Training

_TASKS = {
    "FixMatch / CIFAR-10 / 40 labels": (lp_a3_table_1, "FixMatch", "FixMatch + LP-A3", "CIFAR-10 / 40 labels"),
    "PES / CIFAR-100 / 90% noise": (lp_a3_table_2, "PES", "PES + LP-A3", "CIFAR-100 / 90% noise"),
    "ResNet-18 / DermaMNIST": (lp_a3_table_3, "ResNet-18 / baseline", "ResNet-18 / LP-A3", "DermaMNIST"),
}
"""By column: the table, its rows without and with LP-A3, its column."""


def job(scale: Scale, place: Place) -> Job | None:
    """The run of the column's table, measured after every epoch; both tables here are of it."""
    recipe, without, with_it, column = _TASKS[place.column]
    row = without if place.row == "baseline" else with_it
    found = recipe.job(recipe.RECIPE.scales[scale.words["of"]], Place(recipe.RECIPE.tables[0], row, column))
    assert isinstance(found, Training)
    return replace(found, train=replace(found.train, eval_last=None))


RECIPE = Recipe(
    name="lp-a3/figure-4",
    title="accuracy during training, with and without LP-A3",
    source="LP-A3, Figure 4",
    tables=("lp-a3/figure-4-epochs", "lp-a3/figure-4-accuracy"),
    job=job,
    hardware="one current data-centre GPU",
    against=lambda row, column: None if row == "baseline" else ("baseline", column),
    measured=lambda place: "converged" if place.table.endswith("epochs") else "accuracy",
    claim="LP-A3 greatly speeds up the convergence of each baseline.",
    wary=("Epochs are counted, not hours: one with LP-A3 takes longer.",),
    scales={
        "full": Scale("the tasks at their tables’ full scale", "1 to 20 GPU hours a run", 3, words={"of": "full"}),
        "short": Scale(
            "the tasks at their tables’ short scale", "5 minutes to 3 GPU hours a run", 3, words={"of": "short"},
        ),
        "tiny": Scale(
            "handwritten digits at 16 px, the small CNN, the tasks at their tables’ tiny scale",
            "about 5 minutes on two cores", 2, words={"of": "tiny"},
        ),
    },
)  # fmt: skip
