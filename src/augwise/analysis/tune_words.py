"""A search in words and as a table: what the page and the terminal say alike. Reads results, plain Python."""

from __future__ import annotations

import math
from typing import Any

from ..report.text import counted, number, percent, points
from .statistics import Interval
from .tune_trial import Trial, best_of, trained

NAMES = {"best": "the setting found", "own": "the method’s own", "without": "without the method"}
"""What is trained at the end."""
SHOWN = 10  # rows of the table of the terminal


def trials(report: dict[str, Any]) -> list[Trial]:
    """All trials of a search, in the order in which they were made."""
    return [Trial.of(row) for row in report["trials"]]


def headline(report: dict[str, Any]) -> str:
    """The answer in one sentence, the test images having the last word."""
    tried = trials(report)
    best, done, wanted = best_of(tried), len(trained(tried)), report["config"]["trials"]
    if best is None:
        return f"Unfinished: no setting of {wanted} is measured yet."
    own = f"{percent(tried[0].accuracy)} % of the method’s own"
    if done < wanted:
        return f"Unfinished: {done} of {wanted} settings are in; the best {percent(best.accuracy)} %, against {own}."
    if best.number == 0:
        return (
            f"None of {counted(done - 1, 'other setting')} did better than the method’s own on the validation images."
        )
    chosen = f"Number {best.number} was best on the validation images, {percent(best.accuracy)} % against {own}"
    if report["final"] is None:
        return f"{chosen}; the test images have not been asked."
    found: Interval | None = report["final"]["differences"].get("best-own")
    if found is None:
        return f"{chosen}."
    change = f"{points(found)} points over {counted(found['n'], 'fresh seed')}"
    if found["mean"] <= 0:
        return (
            f"The winner of the search is not the winner on the test images: {change} against the method’s own setting."
        )
    if found["low"] is not None and found["low"] > 0:
        return f"The setting found beats the method’s own on the test images: {change}."
    return f"The setting found is ahead on the test images, {change}, which may be chance."


def remarks(report: dict[str, Any]) -> list[str]:
    """What a reader should know beside the headline."""
    tried, said = trials(report), []
    best, without = best_of(tried), report["without"]
    if best is None:
        return said
    images = report["data"]["validation"]
    error = math.sqrt(best.accuracy * (1 - best.accuracy) / images) if best.accuracy is not None else 0.0
    said.append(
        f"Settings were told apart on {counted(images, 'validation image')}: an accuracy measured on so few is off by "
        f"{100 * error:.1f} points as a rule, and the best of many is the luckiest, too."
    )
    said += _after(report, best)
    if without is not None and without["accuracy"] is not None and without["accuracy"] >= (best.accuracy or 0):
        said.append(
            f"Without the method it was {percent(without['accuracy'])} % on validation images: no setting was better."
        )
    if best.number:
        said += _edges(report, best)
    for state, what in (
        ("refused", "refused by the method before training, and did not count"),
        ("failed", "given up, since training failed"),
        ("stopped", "stopped early, behind the median"),
    ):
        n = sum(t.state == state for t in tried)
        if n:
            said.append(f"{counted(n, 'setting')} {'was' if n == 1 else 'were'} {what}.")
    return said


def _after(report: dict[str, Any], best: Trial) -> list[str]:
    """What fresh seeds made of the winner's lead, and what no method at all does."""
    final, said = report["final"], []
    if final is None:
        return said
    own, arms = report["trials"][0]["accuracy"], final["arms"]
    if "best" in arms and best.accuracy is not None and own is not None:
        lead, fresh = best.accuracy - own, arms["best"]["validation"]["mean"] - arms["own"]["validation"]["mean"]
        told = "what is lost between the two was luck" if fresh < lead else "so luck did not make it"
        said.append(
            f"Its lead on the validation images was {number(100 * lead)} points in the search and "
            f"{number(100 * fresh)} with fresh seeds: {told}."
        )
    name = "best" if "best" in arms else "own"
    against = final["differences"].get(f"{name}-without")
    if against is not None:
        said.append(
            f"Against training without the method: {points(against)} points on the test images, with {NAMES[name]}."
        )
    return said


def _edges(report: dict[str, Any], best: Trial) -> list[str]:
    """Parameters whose best value lies at the end of its range: more may lie beyond."""
    at = []
    for name, r in report["ranges"].items():
        value = best.setting.get(name)
        if "low" not in r or value is None:
            continue
        span = 0.02 * (r["high"] - r["low"])
        if value - r["low"] <= span or r["high"] - value <= span:
            at.append(f"{name} ({value:g} of {r['low']:g} to {r['high']:g})")
    return [f"The best value is at the end of its range: {', '.join(at)}; a wider one may hold a better."] if at else []


def flags(options: dict[str, Any] | None) -> str:
    """A setting as options of ``augwise train``."""
    return " ".join(
        f"--{name.replace('_', '-')} {' '.join(map(str, value)) if isinstance(value, list | tuple) else value}"
        for name, value in (options or {}).items()
    )


def state(trial: Trial) -> str:
    """What became of a trial, in a word or two."""
    return f"stopped after {trial.epochs}" if trial.state == "stopped" else trial.state


def value(found: Any) -> str:
    """A parameter's value in a table; a dash where the method's own is not known."""
    return "–" if found is None else f"{found:.3g}" if isinstance(found, float) else str(found)


def name(trial: Trial) -> str:
    """What a trial is called in a table."""
    return {0: "0, own", -1: "without"}.get(trial.number, str(trial.number))


def ranked(report: dict[str, Any]) -> list[Trial]:
    """The trials that were measured to their end, best first, then those that were stopped, failed or refused."""
    order = ("whole", "stopped", "failed", "refused")
    return sorted(trials(report), key=lambda t: (order.index(t.state), -(t.accuracy or 0), t.number))


def as_text(report: dict[str, Any]) -> str:
    """The table of the terminal: the best settings, the method's own and none, then the test images."""
    names, every = list(report["ranges"]), ranked(report)
    shown = [t for i, t in enumerate(every) if i < SHOWN or t.number == 0]
    if report["without"] is not None:
        shown.append(Trial.of(report["without"]))
    rows = [["setting", "validation %", *names]]
    for t in shown:
        accuracy = percent(t.accuracy) + ("" if t.state == "whole" else f" ({state(t)})")
        rows.append([name(t), accuracy, *(value(t.setting.get(n)) for n in names)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    left = len(every) + (report["without"] is not None) - len(shown)
    lines += [f"and {counted(left, 'other')}, in results.json"] if left else []
    final = report["final"]
    if final is not None:
        lines += ["", f"test accuracy, %, last epoch, {counted(len(final['seeds']), 'fresh seed')}, paired"]
        for arm, found in final["arms"].items():
            test = found["test"]
            spread = "" if test["std"] is None else f" ± {100 * test['std']:.2f}"
            lines.append(f"  {NAMES[arm]:<20} {100 * test['mean']:.2f}{spread}")
        for pair, interval in final["differences"].items():
            first, second = pair.split("-")
            lines.append(f"  {NAMES[first]} − {NAMES[second]}: {points(interval)}")
    lines += ["", headline(report), *(f"- {text}" for text in remarks(report))]
    best = best_of(every)
    if best is not None:
        lines += ["", f"to use it: --method {report['method']['name']} {flags(best.options)}".rstrip()]
    return "\n".join(lines) + "\n"
