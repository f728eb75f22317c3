"""The verb ``evaluate``: measure a classifier, print the account, and write it with its page where ``out`` says."""

from __future__ import annotations

from typing import Any

from ..training.config import EvaluateConfig


def evaluate_run(config: EvaluateConfig) -> dict[str, Any]:
    """`augwise.evaluate`, printed; with ``config.out`` a page stands beside the result."""
    from ..report.build import report
    from ..training.evaluate import describe, evaluate, result_file

    result = evaluate(config)
    print(describe(result))
    if config.out is not None:
        file = result_file(config.out)
        print(file, report(file))
    return result
