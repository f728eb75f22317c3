"""``analyse farther``: what LP-A3 and RandAugment make of images, and whether the classifier still sees the same in
them (LP-A3, Fig. 3 and the margins of Fig. 5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..adversarial import LPA3, PerceptualDistance
from ..adversarial.perceptual import distance
from ..importance.grad_cam import grad_cam
from ..importance.grid import stretch
from ..report.figures import image_picture, map_picture
from ..transforms import RandAugment
from .activation_maps import correlation
from .analyse_config import AnalyseFarther
from .analyse_runs import Images, Subject, check_answers, described, images_of, opened

_CHANGE = 10  # how much the picture of the difference exaggerates it


class _Made(NamedTuple):
    """One way to augment, on a batch: how far each image went, what its label lost, whether that label is still the
    answer, and how alike its Grad-CAM is to the original's."""

    distance: Tensor
    drop: Tensor
    kept: Tensor
    alike: Tensor


def farther(config: AnalyseFarther, out: Path) -> dict[str, Any]:
    """Of every run: distance, drop of log p_y, share of labels kept and likeness of Grad-CAM, under RandAugment and
    under LP-A3 at each margin; and pictures, which stand in ``gallery.json``."""
    from ..report.gallery import write_gallery

    subjects = opened(config.on)
    images = images_of(config.on, subjects[0], config.limit)
    check_answers(subjects, images)
    rows, groups = [], []
    for subject in subjects:
        found = _of_run(config, subject, images)
        rows += [{"run": subject.name, **row} for row in found.rows]
        groups.append({"title": subject.name, "examples": found.examples})
    write_gallery(out, groups)
    return {"data": described(config.on, images), "runs": [s.about() for s in subjects], "rows": rows}


class _Found(NamedTuple):
    rows: list[dict[str, Any]]
    examples: list[dict[str, Any]]


def _of_run(config: AnalyseFarther, subject: Subject, images: Images) -> _Found:
    model = subject.model
    ways: dict[str, Any] = {"randaugment": RandAugment(config.num_ops, config.magnitude)}
    for margin in config.margins:
        ways[f"lpa3 {margin:g}"] = LPA3(model, config.layers or None, form=config.form, margin=margin)
    made: dict[str, list[_Made]] = {name: [] for name in ways}
    clean: list[Tensor] = []
    pictures: dict[str, Tensor] = {}
    see = PerceptualDistance(model, config.layers or None)
    torch.manual_seed(config.on.seed)
    for batch, labels in images.batches(config.on.batch_size):
        with torch.no_grad():
            look = see.look(batch)
        cam = _cam(model, batch, labels, config.layer)
        right = look.logits.argmax(1) == labels
        before = _value(look.logits, labels)
        clean.append(right)
        for name, way in ways.items():
            if isinstance(way, LPA3):
                changed = way.augment(batch, labels).images
            else:
                changed = way((batch * 255).round().byte()).float() / 255
            with torch.no_grad():
                seen = see.look(changed)
            kept = ~right | (seen.logits.argmax(1) == labels)
            alike = correlation(cam, _cam(model, changed, labels, config.layer))
            gone, drop = distance(seen.features, look.features), before - _value(seen.logits, labels)
            made[name].append(_Made(gone, drop, kept, alike))
            pictures.setdefault(name, changed)
    right = torch.cat(clean)
    rows = [_row(name, ways[name], parts, right) for name, parts in made.items()]
    return _Found(rows, _examples(config, subject, images, pictures))


def _row(name: str, way: Any, parts: list[_Made], right: Tensor) -> dict[str, Any]:
    gone, drop, kept, alike = (torch.cat([getattr(p, f) for p in parts]) for f in ("distance", "drop", "kept", "alike"))
    return {
        "method": name.split()[0],
        "margin": way.margin if isinstance(way, LPA3) else None,
        "distance": gone.mean().item(),
        "drop_median": drop.median().item(),
        "within": (drop <= way.margin + 1e-5).float().mean().item() if isinstance(way, LPA3) else None,
        "kept": kept[right].float().mean().item() if bool(right.any()) else None,
        "alike": alike[alike.isfinite()].mean().item() if bool(alike.isfinite().any()) else None,
    }


def _examples(
    config: AnalyseFarther, subject: Subject, images: Images, changed: dict[str, Tensor]
) -> list[dict[str, Any]]:
    """One image of each class with its pictures, and where the classifier looks in each of them. changed: of the first
    batch."""
    batch, labels = next(images.batches(config.on.batch_size))
    _, first = np.unique(labels.cpu().numpy(), return_index=True)
    rows = torch.from_numpy(np.sort(first)[: config.shown]).to(batch.device)
    batch, labels = batch[rows], labels[rows]
    names = subject.data["classes"]
    main = f"lpa3 {config.margins[len(config.margins) // 2]:g}"
    shown = {"original": batch, **{name: changed[name][rows] for name in ("randaugment", main)}}
    tiles: list[list[dict[str, Any]]] = [[] for _ in range(len(batch))]
    for name, pictures in shown.items():
        with torch.no_grad():
            p = subject.model(pictures).softmax(1)
        cams = _cam(subject.model, pictures, labels, config.layer)
        for i, row in enumerate(tiles):
            guess = int(p[i].argmax())
            row.append(
                {
                    "name": name,
                    "image": image_picture(pictures[i]),
                    "cam": map_picture(pictures[i], cams[i]),
                    "guess": names[guess],
                    "right": guess == int(labels[i]),
                    "sure": float(p[i, int(labels[i])]),
                }
            )
    for i, row in enumerate(tiles):
        change = ((shown[main][i] - batch[i]) * _CHANGE + 0.5).clamp(0, 1)
        row.append({"name": f"change × {_CHANGE}", "image": image_picture(change)})
    return [{"label": names[int(y)], "tiles": row} for y, row in zip(labels, tiles, strict=True)]


def _cam(model: nn.Module, images: Tensor, labels: Tensor, layer: str | None) -> Tensor:
    """Grad-CAM of the label, stretched to the image: (N, H, W)."""
    return stretch(grad_cam(model, images, labels, layer), images.shape[-2], images.shape[-1])


def _value(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.log_softmax(1).gather(1, labels[:, None])[:, 0]
