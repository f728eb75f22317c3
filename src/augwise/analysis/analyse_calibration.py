"""``analyse calibration``: how far confidence can be believed, by several errors, and what one temperature mends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..training.evaluate import calibration_bins
from .analyse_config import AnalyseCalibration
from .analyse_kept import Kept
from .analyse_runs import check_answers, described, images_of, logits_of, opened
from .bootstrap import resampled
from .calibration_errors import errors, probabilities, scaled_crosswise
from .hessian import exact


def calibration(config: AnalyseCalibration, out: Path) -> dict[str, Any]:
    """Of every run the errors of `calibration_errors.errors`, before and after temperature scaling, and its bins.

    interval: of the expected error, percentiles of a bootstrap over images. The error of a finite set is biased
    upwards, and that of a resample more so: the interval tends to lie high. scaled: each half of the images with the
    temperature that suits the other half best."""
    subjects = opened(config.on)
    images = images_of(config.on, subjects[0], config.limit, resident=False)
    check_answers(subjects, images)
    kept, labels = Kept(out, {"batch": config.on.batch_size}), images.labels
    rows = []
    for subject in subjects:
        with exact():
            logits = logits_of(subject, images, config.on.batch_size, kept, config.on.quiet)
        p = probabilities(logits)
        after, temperatures = scaled_crosswise(logits, labels)
        sure, right = p.max(1), p.argmax(1) == labels
        rows.append(
            subject.about()
            | {
                **errors(p, labels, config.bins),
                "interval": interval(sure, right, config.bins, config.resamples, config.on.seed),
                "bins": _bins(p, labels, config.bins),
                "scaled": errors(after, labels, config.bins)
                | {"temperatures": list(temperatures), "bins": _bins(after, labels, config.bins)},
            }
        )
    return {"data": described(config.on, images), "runs": rows}


def _bins(p: np.ndarray, labels: np.ndarray, bins: int) -> list[dict[str, float]]:
    sure, right = torch.from_numpy(p.max(1)).float(), torch.from_numpy(p.argmax(1) == labels)
    return calibration_bins(sure, right, bins)


def interval(sure: np.ndarray, right: np.ndarray, bins: int, resamples: int, seed: int) -> list[float]:
    """95 % interval of the expected calibration error by bootstrap over images."""
    place = np.clip(np.ceil(sure * bins - 1e-12).astype(np.int64) - 1, 0, bins - 1)
    member = (place[:, None] == np.arange(bins)) * (right - sure)[:, None]
    # Σ_b |Σ_{i in b} w_i (right_i − sure_i)| is the expected error with weights w.
    found = np.concatenate([abs(weights @ member).sum(1) for weights in resampled(len(sure), resamples, seed)])
    low, high = np.quantile(found, [0.025, 0.975])
    return [float(low), float(high)]
