"""AdvMask, Figure 8: squares' sides l, hidden share p, overlap o. CIFAR-100.

    augwise reproduce advmask/figure-8 --scale full --data cifar100 npz:cifar100.npz

Paper: text alone; eight disjoint intervals of l, accuracy rises and falls; five of p of 20 %, best and worst 1.53
points apart, the worst the largest p; o 0.39 points apart, best below 20 %. Settings (network and intervals are not
printed): ResNet-18; p with sides of 5 to 14, since longer squares fit no picture of which a fifth is hidden; l and o
with the paper's other values. Hours: full about 2 per run on one current data-centre GPU, estimated. Wary: differences
of 0.4 points take more than three seeds; what is best here is chosen on test images, as in the paper.
"""

from __future__ import annotations

from typing import Any

from . import advmask, ipf_rda
from .recipe import Job, Place, Recipe, Scale

_SIDES = ((2, 3), (4, 6), (7, 9), (10, 12), (13, 15), (16, 18), (19, 20), (21, 22))
_ROWS: dict[str, dict[str, Any]] = {
    **{f"l {a} to {b}": {"lengths": (a / 32, b / 32)} for a, b in _SIDES},
    **{
        f"p {high - 20} to {high} %": {
            "lengths": (5 / 32, 14 / 32), "share": high / 100, "least": max(0.01, (high - 20) / high),
        }
        for high in (20, 40, 60, 80, 100)
    },
    **{f"o up to {o} %": {"overlap": o / 100} for o in (0, 10, 20, 40, 60, 80)},
}  # fmt: skip


def job(scale: Scale, place: Place) -> Job | None:
    """AdvMask with the row's interval; the two spreads that the text gives stand as printed."""
    if place.column == "spread" or place.row not in ("baseline", *_ROWS):
        return None
    train = advmask.settings(scale, "cifar100", place.column)
    if place.row == "baseline":
        return advmask.job_of(scale, train, "baseline", "cifar100")
    return advmask.job_of(scale, train, "AdvMask", "cifar100", options={**advmask.CIFAR_100, **_ROWS[place.row]})


RECIPE = Recipe(
    name="advmask/figure-8",
    title="sides, hidden share and overlap of the squares",
    source="AdvMask, Figure 8",
    tables=("advmask/figure-8-accuracy", "advmask/figure-8"),
    job=job,
    hardware="one current data-centre GPU",
    against=lambda row, column: None if row == "baseline" else ("baseline", column),
    claim="Best and worst of p are 1.53 points apart, of o 0.39; too short and too long squares lose.",
    wary=("The intervals are this project’s; the paper prints none of l and o.",),
    scales={
        "full": Scale("CIFAR-100, ResNet-18, 300 epochs", "about 2 GPU hours a run", 3, words=ipf_rda.FULL),
        "short": Scale("CIFAR-100, ResNet-18, 30 epochs", "about 12 GPU minutes a run", 3, words=ipf_rda.SHORT),
        "tiny": Scale(
            f"{ipf_rda.DIGITS}; two intervals each", "about 3 minutes on two cores", 2,
            rows=("baseline", "l 4 to 6", "l 16 to 18", "p 20 to 40 %", "p 80 to 100 %", "o up to 0 %", "o up to 80 %"),
            words=ipf_rda.TINY,
        ),
    },
)  # fmt: skip
