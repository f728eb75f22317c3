"""How well a score tells images of no known class from those of a known one: AUPR, AUROC, FPR95. Pure functions.

Scores grow with strangeness: foreign (out-of-distribution) images are the positives, as for the AUPR that ImageNet-O is
measured by (Hendrycks et al. 2021).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SCORES = ("max_softmax", "max_logit", "energy", "entropy")


class Detection(NamedTuple):
    """aupr: average precision with foreign images as positives; aupr_known: with the known ones; auroc; fpr95: share of
    foreign images that pass as known where 95 % of the known do. All in [0, 1], with one entry for each row of weights.
    """

    aupr: np.ndarray
    aupr_known: np.ndarray
    auroc: np.ndarray
    fpr95: np.ndarray


def strangeness(logits: np.ndarray) -> dict[str, np.ndarray]:
    """Scores (N,) of images from their logits (N, classes), by name, in float64; the higher, the stranger.

    max_softmax: 1 − max p (Hendrycks and Gimpel 2017). max_logit: −max z (Hendrycks et al. 2022). energy: −log Σ exp z
    (Liu et al. 2020, equation 4, T = 1). entropy: −Σ p log p in nats.
    """
    z = logits.astype(np.float64)
    top = z.max(1, keepdims=True)
    total = np.log(np.exp(z - top).sum(1, keepdims=True))
    log_p = z - top - total
    p = np.exp(log_p)
    # 1 − max p from the other classes: near 1 the difference itself would lose all digits.
    others = np.where(np.arange(z.shape[1]) == z.argmax(1)[:, None], 0.0, p).sum(1)
    return {
        "max_softmax": others,
        "max_logit": -top[:, 0],
        "energy": -(top + total)[:, 0],
        "entropy": -(p * np.where(p > 0, log_p, 0.0)).sum(1),
    }


def detect(known: np.ndarray, foreign: np.ndarray, weights: tuple[np.ndarray, np.ndarray] | None = None) -> Detection:
    """The measures of scores (n,) of known and (m,) of foreign images.

    AUROC = P(foreign > known) + ½ P(equal). Average precision = Σ (R_k − R_{k−1}) P_k over the distinct thresholds,
    from the strangest down: no interpolation, which would flatter (Davis and Goadrich 2006); chance is the share of
    foreign images. Ties are one threshold. weights: (b, n) and (b, m), of each image in b resamples."""
    every = np.concatenate([known, foreign])
    order = np.argsort(-every, kind="stable")
    last = np.flatnonzero(np.append(np.diff(every[order]) != 0, True))
    of_known, of_foreign = weights if weights is not None else (np.ones((1, len(known))), np.ones((1, len(foreign))))
    k = np.concatenate([of_known, np.zeros((len(of_known), len(foreign)))], axis=1)[:, order].cumsum(1)[:, last]
    f = np.concatenate([np.zeros((len(of_foreign), len(known))), of_foreign], axis=1)[:, order].cumsum(1)[:, last]
    k_all, f_all = k[:, -1:], f[:, -1:]
    k_before, f_before = (np.concatenate([np.zeros((len(c), 1)), c[:, :-1]], axis=1) for c in (k, f))
    aupr = ((f - f_before) * f / np.maximum(k + f, 1e-300)).sum(1) / f_all[:, 0]
    rest_k, rest_f = k_all - k_before, f_all - f_before  # at this threshold or less strange
    aupr_known = ((k - k_before) * rest_k / np.maximum(rest_k + rest_f, 1e-300)).sum(1) / k_all[:, 0]
    auroc = (((k - k_before) * (f_before + f) / 2).sum(1)) / (k_all * f_all)[:, 0]
    # The strangest threshold below which 95 % of the known lie: as few foreign images pass as then possible.
    passes = rest_k >= 0.95 * k_all * (1 - 1e-12)
    at = passes.shape[1] - 1 - passes[:, ::-1].argmax(1)
    fpr95 = rest_f[np.arange(len(at)), at] / f_all[:, 0]
    return Detection(aupr, aupr_known, auroc, fpr95)
