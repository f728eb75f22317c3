"""The page of an attack table: fit for people, honest about what failed, published figures marked as such."""

from __future__ import annotations

import numpy as np

import augwise as aw
from augwise.analysis.attack_measure import Measured, row_of
from augwise.analysis.attack_results import text_table
from augwise.report.figures import picture
from augwise.report.gallery import write_gallery
from augwise.training.results import write_json
from report.browser import check_page
from report.samples import ENVIRONMENT


def row(name: str, place: int | None, mean: float, success: float = 1.0) -> dict:
    rng = np.random.default_rng(int(mean))
    pixels = rng.integers(int(mean / 2), int(mean * 1.5) + 1, 20)
    every = np.ones(20, dtype=bool)
    won = np.arange(20) < round(20 * success)
    epsilon = every if place else np.arange(20) > 3
    found = Measured(won, pixels, 3 * pixels, pixels / 100, np.full(20, 0.031), epsilon, every, won & (pixels > mean))
    return row_of(found, 1024) | {
        "attack": name,
        "paper": "Somebody & <others> 2020",
        "settings": f"Attack(name={name!r})",
        "ours": name.startswith("cdiea"),
        "pass": "-" in name,
        "keeps_bounds": place is not None,
        "common_pixels": mean,
        "forwards": 1234.5,
        "backwards": 0.0,
        "seconds": 0.01,
        "rank": place,
        "behind": None if place == 1 else {"n": 20, "mean": 12.0, "low": 3.0, "high": 21.0},
    }


def results() -> dict:
    bounded = [row("cdiea-pruned", 1, 90), row("greedy", 2, 120), row("jsma", 3, 300, 0.0), row("cheat", None, 80)]
    return {
        "kind": "attack-table",
        "augwise": "0.1.0",
        "command": "augwise attack-table --data <&>",
        "config": {"data": "digits", "split": "test", "run": "a/run", "model": None, "seed": 0, "epsilons": ["8/255"]},
        "data": {
            "name": "digits", "images": 30, "attacked": 20, "classes": ["0", "1"], "shape": [3, 32, 32], "left_out": [],
        },
        "groups": [
            {"goal": "untargeted", "epsilon": 8 / 255, "common": 0, "rows": bounded},
            {"goal": "untargeted", "epsilon": None, "common": 20, "rows": [row("sigma-zero", 1, 9)]},
            {"goal": "random", "epsilon": 8 / 255, "common": 0, "rows": [row("jsma", 1, 300, 0.0)]},
        ],
        "left_out": [{"attack": "foolbox-fmn", "epsilon": None, "goal": "random", "why": "needs <foolbox>"}],
        "environment": ENVIRONMENT,
    }  # fmt: skip


def test_the_page_is_fit_for_people_and_says_what_failed(browser, tmp_path):
    write_json(tmp_path / "results.json", results())
    image = picture(np.full((4, 4, 3), 90, dtype=np.uint8))
    arms = [{"name": name, "image": image, "pixels": 3} for name in ("cdiea-pruned", "greedy", "jsma", "cheat")]
    examples = [{"label": "dog & <wolf>", "image": image, "arms": arms}] * 2
    write_gallery(tmp_path, [{"title": "untargeted, 8/255", "examples": examples}])
    page = aw.report(tmp_path)
    check_page(browser, page, largest=2e5)
    text = page.read_text()
    for word in (
        "cdiea-pruned is sparsest",
        "the best of the field’s attacks as they are is greedy",
        "a random wrong class: no attack fooled the model",
        "cheat breaks its bounds and is not ranked: 4 images beyond epsilon",
        "needs &lt;foolbox&gt;",
        "1199.7",
        "not measured here",
    ):
        assert word in " ".join(text.split()), word
    said = text_table(results())
    assert "breaks its bounds on 4 images: not ranked" in said
    assert "needs <foolbox>" in said
