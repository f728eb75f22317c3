"""The command line behind a recipe's configuration, for the head of its page."""

from __future__ import annotations

import shlex
from dataclasses import MISSING, fields
from pathlib import Path
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


def folder_name(spec: str) -> str:
    """What a page calls a data source: the last part of its path, or its own name."""
    return Path(spec.partition(":")[2]).stem or spec
