"""The command line behind a recipe's configuration, for the head of its page."""

from __future__ import annotations

import shlex
from dataclasses import MISSING, fields
from typing import Any


def command_line(verb: str, config: Any) -> str:
    """``augwise VERB`` with every option that differs from its default; of the folder ``out`` the name alone."""
    words = ["augwise", verb, "--out", config.out.name]
    for field in fields(config):
        value = getattr(config, field.name)
        required = field.default is MISSING and field.default_factory is MISSING
        if field.name in ("out", "quiet") or (not required and value == field.default):
            continue
        words.append(f"--{field.name.replace('_', '-')}")
        if value is not True:
            words += [str(v) for v in value] if isinstance(value, tuple) else [str(value)]
    return shlex.join(words)
