"""Re-identification measured on features of Market-1501's size, beside torchreid's evaluator and a plain full sort.

    python -m benchmarks.reid --json reid.json

3 368 queries against 15 913 gallery images, random 2048-d features, six cameras, 750 identities and distractors, in
memory, one thread unless --threads says otherwise. ``evaluate_market1501_s`` is `evaluate_ranking`, features in, mAP
and CMC out; ``distances_market1501_s`` the distances in it, one matrix product that every evaluator needs;
``ranking_market1501_s`` what is left. ``argsort_market1501_s`` is the same distances and an argsort of every row;
``torchreid_market1501_s`` the same distances and torchreid's evaluator in Python, read from its installed package (left
out where that is not installed). Medians of three calls, in turn; torchreid's is called once. The mAP of each stands
beside it and has to agree. With --rerank also ``rerank_market1501_s``, k-reciprocal re-ranking, once.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._common import run, version  # before torch: it sets the thread variables

# isort: split
import numpy as np
import torch
from torch import Tensor

from augwise.reid import Rerank, evaluate_ranking

QUERIES, GALLERY, DIMENSIONS = 3368, 15913, 2048
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def data() -> tuple[Tensor, Tensor, list[np.ndarray]]:
    """Features, then identities of queries and gallery, then their cameras."""
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    query, gallery = (torch.randn(n, DIMENSIONS, generator=generator).to(DEVICE) for n in (QUERIES, GALLERY))
    identities = [rng.integers(1, 751, QUERIES), np.where(rng.random(GALLERY) < 0.18, 0, rng.integers(1, 751, GALLERY))]
    return query, gallery, [*identities, *(rng.integers(1, 7, n) for n in (QUERIES, GALLERY))]


def distances(query: Tensor, gallery: Tensor) -> Tensor:
    """Squared Euclidean, less what changes no order; a block of them at a time, as long as one looks at it."""
    return torch.addmm((gallery * gallery).sum(1), query, gallery.T, alpha=-2)


def by_argsort(query: Tensor, gallery: Tensor, labels: list[np.ndarray]) -> float:
    """mAP by sorting every row."""
    ids, given, cameras, seen_by = labels
    precisions = []
    for begin in range(0, QUERIES, 500):
        order = distances(query[begin : begin + 500], gallery).argsort(dim=1).cpu().numpy()
        for q, row in enumerate(order, begin):
            same = given[row] == ids[q]
            right = same[~(same & (seen_by[row] == cameras[q]))]
            at = np.flatnonzero(right) + 1
            if len(at):
                precisions.append(float((np.arange(1, len(at) + 1) / at).mean()))
    return float(np.mean(precisions))


def torchreid() -> Callable[..., Any] | None:
    """torchreid's evaluator, from its file: importing all of the package would need much else."""
    if version("torchreid") is None:
        return None
    spec = importlib.util.find_spec("torchreid")
    assert spec is not None
    (home,) = spec.submodule_search_locations or [""]
    file = next(Path(home).rglob("metrics/rank.py"))
    own = importlib.util.spec_from_file_location("torchreid_rank", file)
    assert own is not None
    assert own.loader is not None
    module = importlib.util.module_from_spec(own)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own.loader.exec_module(module)
    return module.evaluate_rank


def measure(options: Any) -> dict[str, Any]:
    query, gallery, labels = data()
    ways: dict[str, Callable[[], Any]] = {
        "evaluate": lambda: evaluate_ranking(query, gallery, *labels).map,
        "distances": lambda: [distances(query[i : i + 1000], gallery) for i in range(0, QUERIES, 1000)],
        "argsort": lambda: by_argsort(query, gallery, labels),
    }
    peer = torchreid()
    if peer is not None:
        ways["torchreid"] = lambda: peer(distances(query, gallery).cpu().numpy(), *labels, use_cython=False)[1]
    taken: dict[str, list[float]] = {name: [] for name in ways}
    results: dict[str, Any] = {"device": DEVICE.type}
    for turn in range(3):
        for name, way in ways.items():
            if name == "torchreid" and turn:
                continue
            start = time.perf_counter()
            found = way()
            if DEVICE.type == "cuda":
                torch.cuda.synchronize()
            taken[name].append(time.perf_counter() - start)
            if name != "distances":
                results[f"{name}_map"] = float(found)
    results |= {f"{name}_market1501_s": statistics.median(seconds) for name, seconds in taken.items()}
    results["ranking_market1501_s"] = results["evaluate_market1501_s"] - results["distances_market1501_s"]
    if options.rerank:
        start = time.perf_counter()
        results["rerank_map"] = evaluate_ranking(query, gallery, *labels, rerank=Rerank()).map
        results["rerank_market1501_s"] = time.perf_counter() - start
    for name in ("argsort", "torchreid"):
        assert abs(results.get(f"{name}_map", results["evaluate_map"]) - results["evaluate_map"]) < 1e-5, name
    return results


if __name__ == "__main__":
    run(__doc__, measure, {"--rerank": {"action": "store_true", "help": "re-rank as well, which takes a minute"}})
