"""Small results of every kind, made without training: numbers chosen, texts awkward on purpose."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from augwise.analysis.audit_result import Audit, Audited, Case
from augwise.analysis.compare_plan import CompareConfig, arms_of, cells, plan, run_of, strongest
from augwise.analysis.compare_pooled import by_rule, class_changes, listed, overall
from augwise.analysis.compare_table import baseline, best_strengths, table
from augwise.analysis.gallery import Example
from augwise.report.gallery import group, write_gallery
from augwise.training.checkpoint import plain
from augwise.training.config import TrainConfig
from augwise.training.results import write_json

ENVIRONMENT = {
    "torch": "2.15.0",
    "torchvision": "0.29.2",
    "python": "3.11.7",
    "platform": "Linux",
    "cpu": "A processor",
    "cores": 2,
    "threads": 1,
    "device": "cpu",
    "commit": "0" * 40,
}
CLASSES = ["cat", "dog & <wolf>", "a class whose name is much longer than any chart has room for"]


def per_class(classes: list[str], seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    found = [{"class": name, "images": 40, "accuracy": int(rng.integers(10, 40)) / 40} for name in classes]
    found[-1] |= {"images": 0, "accuracy": None}
    return found


def train_results(epochs: int = 12, classes: list[str] = CLASSES) -> dict[str, Any]:
    curve = [
        {
            "epoch": e + 1,
            "lr": 0.1 * (1 - e / epochs),
            "train_loss": 2.0 / (e + 1),
            "train_accuracy": 1 - 0.7 / (e + 1),
            "importance_erased": 0.1 + 0.01 * (e % 3),
            **({"test_accuracy": 0.9 - 0.5 / (e + 1)} if e >= epochs // 2 else {}),
            "seconds": 1.5,
        }
        for e in range(epochs)
    ]
    last = curve[-1]["test_accuracy"]
    return {
        "kind": "train",
        "augwise": "0.1.0",
        "config": plain(asdict(TrainConfig(epochs=epochs))),
        "steps": ["Cutout(length=16, Guard(quantile=0.6), fill='mean', p=1.0)"],
        "data": {"name": "toys", "train": 300, "test": 120, "tested_on": "test", "classes": classes, "flip": True,
                 "mean": [0.4913725490196078, 0.5, 0.25], "std": [0.2, 0.25, 1 / 3]},
        "environment": ENVIRONMENT,
        "precision": "no",
        "processes": 1,
        "test": {"last_accuracy": last, "median_last_ten": last - 0.01},
        "curve": curve,
        "seconds": 18.0,
        "identity": {},
        "per_class": per_class(classes),
        "also": {"validation": 0.75},
    }  # fmt: skip


def evaluate_results(classes: list[str] = CLASSES) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    n = len(classes)
    confusion = rng.integers(0, 4, (n, n)) + 20 * np.eye(n, dtype=int)
    right, images = confusion.diagonal(), confusion.sum(1)
    return {
        "kind": "evaluate",
        "augwise": "0.1.0",
        "run": "base",
        "model": "small_cnn",
        "checkpoint": "base/weights.safetensors",
        "data": {"name": "toys", "split": "test", "limit": None},
        "images": int(images.sum()),
        "accuracy": float(right.sum() / images.sum()),
        "loss": 0.7,
        "ece": 0.04,
        "calibration": [
            {"low": b / 5, "high": (b + 1) / 5, "images": 10 + b, "confidence": b / 5 + 0.11, "accuracy": b / 5 + 0.05}
            for b in (1, 2, 4)
        ],
        "per_class": [
            {"class": c, "images": int(i), "accuracy": float(r / i)}
            for c, i, r in zip(classes, images, right, strict=True)
        ],
        "confusion": confusion.tolist(),
        "environment": ENVIRONMENT,
    }


def retrieval_results(identities: int = 40) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    measured = {"map": 0.4321, "rank_1": 0.6, "rank_5": 0.75, "rank_10": 0.9}
    counts = {"queries": 2 * identities, "left_out": 3, "gallery": 500}
    by = [{"identity": f"{i:04d}", "queries": 2, "map": float(rng.random()), "rank_1": 0.5} for i in range(identities)]
    return {
        "kind": "evaluate",
        "augwise": "0.1.0",
        "run": "run",
        "model": "reid_small",
        "checkpoint": "run/weights.safetensors",
        "data": {"name": "people & <others>", "split": "test", "limit": None, "left_out": []},
        "retrieval": measured | counts,
        "reranked": measured | counts | {"map": 0.5432, "how": {"k1": 20, "k2": 6, "weight": 0.3}},
        "identities": by,
        "environment": ENVIRONMENT,
    }


def compare_config(methods: tuple[str, ...] = ("cutout", "cutmix"), seeds: int = 4, out: str = "c") -> CompareConfig:
    train = TrainConfig(data="digits", epochs=6, val_share=0.1, out=Path(out))
    return CompareConfig(train, methods, strengths=(8, 16), windows=("inside",), estimators=("occlusion",), seeds=seeds)


def outcomes(config: CompareConfig, gain: dict[str, float], noise: float = 0.002, classes: int = 3) -> dict:
    """An outcome for every run: 0.7, plus ``gain`` of the arm, plus what the seed gives all, plus noise."""
    rng = np.random.default_rng(5)
    results = {}
    for run in plan(config):
        value = 0.7 + 0.01 * run.seed + gain.get(run.arm, 0.0) + noise * float(rng.standard_normal())
        results[run] = {
            "last_accuracy": value,
            "median_last_ten": value - 0.01,
            "validation_accuracy": value - 0.02,
            "train_loss": 0.5,
            "seconds": 2.0,
            "per_class": [value + 0.03 * c + noise * float(rng.standard_normal()) for c in range(classes)],
            "loss_curve": [1 / (e + 1) for e in range(6)],
            "curve": [value - 0.1 / (e + 1) for e in range(6)],
        }
    return results


def compare_results(
    gain: dict[str, float] | None = None,
    config: CompareConfig | None = None,
    classes: list[str] = CLASSES,
    keep: int = 0,
) -> dict[str, Any]:
    """What `augwise.compare` would return; keep: only so many of the runs are finished (0: all)."""
    config = config or compare_config()
    results = outcomes(
        config, {"guarded": 0.02, "control": 0.01, "plain": -0.01} if gain is None else gain, 0.002, len(classes)
    )
    results = dict(list(results.items())[: keep or None])
    keys = {run: f"key{i}" for i, run in enumerate(results)}
    share = {"plain": 0.3, "guarded": 0.12, "control": 0.28, "smoothing": 0.3}
    touched = {
        (c, arm): {"area_touched": 0.25 - 0.02 * (arm == "guarded"), "importance_touched": share[arm]}
        for c in cells(config)
        for arm in arms_of(config, c)
    }
    doubts = {c: 0.125 for c in cells(config) if "smoothing" in arms_of(config, c)}
    curves = {}
    for cell in strongest(config):
        if (run := run_of(config, cell, "plain", 0)) in results:
            curves[f"{cell.method} 16, inside, {cell.estimator}"] = {"plain": results[run]["curve"]}
    return plain(
        {
            "kind": "compare",
            "augwise": "0.1.0",
            "title": "Toys & <things>",
            "command": "augwise compare --data digits",
            "config": asdict(config),
            "data": {"name": "toys", "train": 300, "test": 100, "classes": classes, "mean": [0.5], "std": [0.2]},
            "environment": ENVIRONMENT,
            "base": {"model": "small_cnn", "epochs": 6, "accuracy": 0.8},
            "estimators": {
                "occlusion": {"rows": 300, "done": 300, "failed": 0, "method": {"name": "occlusion", "window": 0.25}}
            },
            "planned": len(plan(config)),
            "done": len(results),
            "complete": len(results) == len(plan(config)),
            "baseline": baseline(config, results),
            "table": table(config, results, touched, doubts=doubts),
            "overall": overall(config, results),
            "overall_by_rule": by_rule(config, results),
            "best": best_strengths(config, results),
            "class_changes": class_changes(config, results, classes),
            "curves": curves,
            "loss_curves": {},
            "runs": listed(results, keys),
            "seconds": 100.0,
        }
    )


def examples(n: int, side: int, arms: bool = True) -> list[Example]:
    """Noisy gradients, as photographs have them."""
    rng = np.random.default_rng(2)
    ramp = np.linspace(0, 200, side)[:, None, None] + np.linspace(0, 30, side)[None, :, None]
    found = []
    for i in range(n):
        image = (ramp + rng.integers(0, 20, (side, side, 3))).astype(np.uint8)
        given = {a: (image[::-1], 0.25, float("nan") if i else 0.1) for a in ("plain", "guarded", "control") if arms}
        found.append(Example(image, rng.random((side, side)).astype(np.float32), CLASSES[i % 3], given))
    return found


def audited(side: int = 32, model: bool = True) -> Audit:
    """An audit of seven images: one transform that all goes well with, one that cannot be followed, fails on two
    images and makes pixels out of range."""
    rng = np.random.default_rng(4)
    shown, rows = examples(3, side, arms=False), np.arange(7)

    def transform(name: str, known: bool, failed: dict[int, str]) -> Audited:
        there = np.where(np.isin(rows, list(failed)), np.nan, 1.0)
        lost = rng.random(7) ** 2 * there if known else np.full(7, np.nan)
        drop = rng.normal(size=7) * there if model else np.full(7, np.nan)
        cases = [
            Case(10 + i, e.label, e.image, e.importance, e.image[::-1], float(lost[i]), float(lost[i]), float(drop[i]))
            for i, e in enumerate(shown)
        ]
        given = {"Drawn at random": cases, "Most evidence lost": cases[:1] if known else []}
        return Audited(
            name, f"what {name} does", rows, rows % 3, lost, lost / 2, drop,
            (rng.random(7) < 0.8) * there if model else drop, (rng.random(7) < 0.5) * there if model else drop,
            () if known else ("<lambda>",), failed, 0.0 if known else 0.4, 123.4,
            {heading: group for heading, group in given.items() if group},
        )  # fmt: skip

    return Audit(
        [transform("cut & paste", True, {}), transform("grey", False, {1: "no <image>", 4: "too small"})],
        CLASSES,
        {"name": "toys", "images": 7, "of": 90, "classes": 3, "left_out": [["a.jpg", "truncated"]]},
        "occlusion, computed for this audit" if model else "centre, computed for this audit",
        0.75 if model else None,
        {"count": 7, "seed": 0, "model": "SmallCNN" if model else None, "split": "train"},
        ENVIRONMENT,
        12.5,
    )


def written(folder: Path, results: dict[str, Any], side: int = 32) -> Path:
    """A folder as a verb leaves it, without the page."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "results.json", results)
    if results["kind"] in ("compare", "estimate"):
        arms = results["kind"] == "compare"
        mean = None if arms else np.eye(side)
        write_gallery(
            folder, [group("cutout 16", examples(3, side, arms)), group("cutmix 16", examples(3, side, arms))], mean
        )
    return folder
