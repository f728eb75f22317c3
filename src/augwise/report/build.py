"""`augwise.report`: pages from what runs left behind, alone or bound together. Reads results, writes one HTML file.

Nothing is computed anew and no data set is opened: what a page shows stands in ``results.json`` (and its pictures in
``gallery.json``), so a page can be made again anywhere, also by a later version.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from .gallery import read_gallery
from .page import Page, write_pages

PAGE = "report.html"
_RESULTS = "results.json"
_STORE = "meta.json"
# The page of each kind of results: a module here with ``page(results, gallery) -> Page``.
_PAGES = {
    "train": "train_page",
    "evaluate": "evaluate_page",
    "estimate": "estimate_page",
    "compare": "compare_page",
    "audit": "audit_page",
    "tune": "tune_page",
    "fidelity": "fidelity_page",
    "distil": "distil_page",
    "attack-table": "attack_table_page",
    "select": "select_page",
    "search": "search_page",
    "landscape": "landscape_page",
    "hessian": "hessian_page",
    "noise": "noise_page",
    "robustness": "robustness_page",
    "ood": "ood_page",
    "natural": "natural_page",
    "calibration": "calibration_page",
    "farther": "farther_page",
    "cam": "cam_page",
    "embedding": "embedding_page",
    "gradients": "gradients_page",
    "curves": "curves_page",
    "reproduce": "reproduce_page",
}


@dataclass(frozen=True)
class ReportConfig:
    """Pages from results: one folder's page anew, or several folders as the chapters of one page."""

    results: tuple[Path, ...]
    """Folders that verbs of augwise wrote (train, estimate, compare, audit ...), or JSON files of evaluate."""
    out: Path | None = None
    """The page; left out: report.html in the folder, or with several folders in the working directory."""
    title: str | None = None
    """Heading of the page; left out: what the results say."""


def report(*results: str | Path, out: str | Path | None = None, title: str | None = None) -> Path:
    """Build the page of one or more results and return its path.

    results: folders that verbs of augwise wrote: ``train``, ``estimate``, ``evaluate``, ``compare``, ``tune``,
        ``audit``, ``fidelity``, ``distil``, ``analyse`` and ``attack-table`` (an importance store is one), or JSON
        files of ``evaluate``; several become chapters of one page, in this order.
    out: the page; default ``report.html`` in the one folder (beside the one file, under its name), or for several in
        the working directory. title: heading of the page.

    Raises `UserError` for what holds no results, is damaged, or is of a kind that has no page.
    """
    from ..files import require_writable

    if not results:
        raise UserError("there is nothing to report: give the folder of at least one run")
    paths = [Path(p) for p in results]
    pages = [load(path) for path in paths]
    target = Path(out) if out is not None else _beside(paths[0]) if len(paths) == 1 else Path(PAGE)
    if target.is_dir():
        target = target / PAGE
    require_writable(target.parent)
    write_pages(target, pages, title)
    return target


def load(path: Path) -> Page:
    """The page of one folder or file of results, not yet written."""
    file = path / _RESULTS if path.is_dir() else path
    if path.is_dir() and not file.exists() and (path / _STORE).exists():
        from ..analysis.map_statistics import results_of_store
        from ..importance.store import ImportanceStore

        results = results_of_store(ImportanceStore(path, allow_partial=True))
    else:
        results = _read(path, file)
    kind = results.get("kind")
    if kind not in _PAGES:
        raise UserError(f"{file} is of the kind {kind!r}: a page can be made of {', '.join(_PAGES)}")
    make: Callable[..., Page] = importlib.import_module(f".{_PAGES[kind]}", __package__).page
    try:
        return make(results, read_gallery(file.parent))
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(
            f"{file} lacks what the page of {kind!r} needs ({type(error).__name__}: {error}): it is damaged or was "
            "written by another version of augwise; run the verb again"
        ) from error


def _read(path: Path, file: Path) -> dict[str, Any]:
    cure = "give a folder that a verb of augwise wrote, such as train, estimate, compare, audit or fidelity"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = "holds no results.json (is the run finished?)" if path.is_dir() else "does not exist"
        raise UserError(f"{path} {what}: {cure}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error}): {cure}") from None
    if not isinstance(found, dict):
        raise UserError(f"{file} holds no results of augwise: {cure}")
    return found


def _beside(path: Path) -> Path:
    if path.is_dir():
        return path / PAGE
    return path.with_name(PAGE) if path.name == _RESULTS else path.with_suffix(".html")
