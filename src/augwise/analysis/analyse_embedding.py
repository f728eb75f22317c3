"""``analyse embedding``: how well a network's features keep the classes apart (IPF-RDA, Fig. 4 and Eq. 13)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UserError
from ..models.build import find_head
from ..selection.outputs import flat
from .analyse_config import AnalyseEmbedding
from .analyse_kept import Kept
from .analyse_runs import Images, Subject, bar_of, check_answers, described, images_of, opened
from .clusters import spread
from .hessian import exact


def embedding(config: AnalyseEmbedding, out: Path) -> dict[str, Any]:
    """Of every run: accuracy; what its last layer is given for each image, its features; these laid out in the plane
    by t-SNE (van der Maaten and Hinton 2008, from principal components, seeded); and `clusters.spread` of both."""
    _check_sklearn()
    subjects = opened(config.on)
    images = images_of(config.on, subjects[0], config.limit)
    check_answers(subjects, images)
    if config.perplexity >= len(images):
        raise UserError(
            f"--perplexity {config.perplexity:g} of {len(images)} images: give fewer neighbours than there are images"
        )
    kept = Kept(out, {"images": images.fingerprint, "batch": config.on.batch_size})
    return {
        "data": described(config.on, images),
        "classes": list(images.source.class_names),
        "labels": images.labels.tolist(),
        "runs": [_look(config, subject, images, kept) for subject in subjects],
    }


def _look(config: AnalyseEmbedding, subject: Subject, images: Images, kept: Kept) -> dict[str, Any]:
    key, labels = {"model": subject.fingerprint}, torch.as_tensor(images.labels)
    seen = kept.cell(f"{subject.name}-features", key, lambda: _features(config, subject, images))
    drawn = {"perplexity": config.perplexity, "seed": config.on.seed}
    plane = kept.cell(f"{subject.name}-plane", key | drawn, lambda: {"plane": _plane(config, seen["features"])})[
        "plane"
    ]
    return subject.about() | {
        "accuracy": float(seen["right"].mean()),
        "dimensions": int(seen["features"].shape[1]),
        "features": spread(torch.from_numpy(seen["features"]), labels).told(),
        "plane": spread(torch.from_numpy(plane), labels).told(),
        "points": [[round(float(v), 3) for v in point] for point in plane],
    }


@torch.no_grad()
def _features(config: AnalyseEmbedding, subject: Subject, images: Images) -> dict[str, np.ndarray]:
    """features: (N, D) float32; right: (N,) bool."""
    seen: list[torch.Tensor] = []
    right: list[torch.Tensor] = []
    head = subject.model.get_submodule(find_head(subject.model))
    hook = head.register_forward_pre_hook(lambda _, given: seen.append(flat(given[0])))
    try:
        with exact(), bar_of(len(images), f"features of {subject.name}", config.on.quiet) as bar:
            for pixels, labels in images.batches(config.on.batch_size):
                right.append((subject.model(pixels).argmax(1) == labels).cpu())
                bar.update(len(pixels))
    finally:
        hook.remove()
    return {"features": torch.cat(seen).numpy(), "right": torch.cat(right).numpy()}


def _plane(config: AnalyseEmbedding, features: np.ndarray) -> np.ndarray:
    """(N, 2) float32."""
    from sklearn.manifold import TSNE

    layout = TSNE(perplexity=config.perplexity, init="pca", learning_rate="auto", random_state=config.on.seed)
    return np.asarray(layout.fit_transform(features), np.float32)


def _check_sklearn() -> None:
    try:
        import sklearn.manifold as _  # noqa: F401
    except ImportError:
        raise UserError('t-SNE needs scikit-learn: pip install "augwise[analysis]"') from None
