"""How pages and verdicts say numbers: shares, intervals, counts, times, settings. Knows of no HTML."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..analysis.statistics import Interval


def share(value: float | None) -> str:
    """0.1234 as ``12 %``; what was not measured (None, NaN) as a dash."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.0f} %"


def percent(value: float | None, digits: int = 1) -> str:
    """0.1234 as ``12.3``, without the sign, for columns that say per cent; a dash for what was not measured."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.{digits}f}"


def between(interval: Sequence[float] | None, digits: int = 1) -> str:
    """The interval (0.1, 0.2) of a share as ``10.0 to 20.0``, in per cent without the sign; a dash without one."""
    return "–" if interval is None else f"{percent(interval[0], digits)} to {percent(interval[1], digits)}"


def number(value: float | None, digits: int = 2) -> str:
    """-1.234 as ``−1.23``, with a true minus sign; a dash for what was not measured."""
    # Adding 0.0 takes the sign of a zero that rounding made.
    return "–" if value is None or math.isnan(value) else f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def points(interval: Interval | None) -> str:
    """``+0.60 [+0.14, +1.05]``: mean and interval in percentage points, with true minus signs; a dash without one."""
    if interval is None:
        return "–"
    low, high = interval["low"], interval["high"]
    text = f"{100 * interval['mean']:+.2f}"
    text += f" (n = {interval['n']})" if low is None or high is None else f" [{100 * low:+.2f}, {100 * high:+.2f}]"
    return text.replace("-", "−")


def counted(n: int, one: str, many: str | None = None) -> str:
    """``1 row``, ``3 rows``; many: the plural where an s alone does not make it."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """``42 s``, ``6 min 5 s``, ``2 h 15 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def short(value: Any) -> str:
    """A value as a reader wants it: floats without noise, everything else as JSON."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and value and not any(isinstance(v, list | dict) for v in value):
        return ", ".join(short(v) for v in value)
    return value if isinstance(value, str) else json.dumps(value, default=str)


def signed(value: float | None, digits: int = 2) -> str:
    """``+0.12``, ``−0.03``; a dash for what was not measured."""
    text = number(value, digits)
    return text if text[0] in "−–" else f"+{text}"


def interval(found: Mapping[str, Any] | None, sign: bool = False) -> str:
    """``0.63 [0.62, 0.64]``, or with a sign in front; a dash where there is none."""
    if found is None:
        return "–"
    say = signed if sign else number
    low, high = found["low"], found["high"]
    return say(found["mean"]) + ("" if low is None or high is None else f" [{say(low)}, {say(high)}]")


def seconds(value: float | None) -> str:
    """A time per item with two significant digits, in ms below a tenth of a second: ``0.5 s``, ``12 ms``, ``0.031 ms``;
    a dash for what was not measured."""
    if value is None:
        return "–"
    amount, unit = (value, "s") if value >= 0.0995 else (1000 * value, "ms")
    digits = max(0, 1 - math.floor(math.log10(amount))) if amount > 0 else 0
    return f"{amount:.{digits}f} {unit}"
