"""Paste a box of another image, and mix the style of the two on both sides of its border (StyleCutMix)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .. import randomness, regions
from ..errors import UserError
from ..labels import MixedLabels
from ..sample import Batch
from ..schedule import Probability
from .base import Mixer, label_sets
from .dcutmix import mix_nested
from .saliency_mix import clipped_boxes
from .several import Draw, check_pair
from .shares import Labels, check_labels
from .style import Stylist, adain, as_pixels, check_network, check_share, in_unit

_SAME_CLASS = 2.0  # added to the distance of a class to itself, as in the released program: it is 0 otherwise


class StyleCutMix(Mixer):
    """`CutMix` whose two parts exchange their style as well (Hong et al., CVPR 2021). With r_s ~ Beta(alpha, alpha) the
    share of image a's style, its partner b shows in the box, of which 1 - λ of the area is left inside the border:

        outside the box   r_s a + (1 - r_s) a_b,   a_b = γ a + (1 - γ) D(AdaIN(f_a, f_b))
        inside            (1 - r_s) b + r_s b_a,   b_a = γ b + (1 - γ) D(AdaIN(f_b, f_a))

    The label of a weighs r λ_c + (1 - r) λ_s: its content by its exact share λ_c of the pixels, its style by
    λ_s = γ λ_c + (1 - γ) r_s, which is the share of it that the picture has.

    encoder, decoder: the style network, of which the user has the weights: `augwise.models.style_network`, or modules
        (N, 3, H, W) in [0, 1] -> features -> (N, 3, H, W).
    alpha: of the box's share of the area and of r_s; the released program's is 1.
    alpha_style: γ, how little style is mixed, is drawn from Beta(alpha_style, alpha_style); the released program's is
        0.8.
    distances: of the classes' styles, (C, C), see `style_distances`: γ = tanh(d / delta) of a pair's classes then takes
        the place of the draw, so that classes of very different style mix less of it (the paper's automatic scheme). A
        class counts as 2 away from itself, as in the released program. Needs one class per image.
    delta: δ; 3 for CIFAR-100 and 1 for CIFAR-10 in the released program.
    content: r, how much of the label goes by content, the rest by style; the paper's is 0.7.
    size: shorter side at which the style network sees the images, see `StyleMix`.
    labels: how content counts: "area", "importance" or "half", as in `CutMix`; the last two need maps.
    p: probability that an image is mixed at all, in Python a `Ramp` too; 0.5 in the released program.
    per_batch: one box, r_s and drawn γ for the whole batch, as in the released program.
    normalize: for labels by importance, make the two maps of a pair sum to 1 first, see `CutMix`.

    Images are uint8 or floats in [0, 1], before `Normalize`. The box is cut at the images' own size, where the released
    program cuts an enlarged picture, so its border is sharp and its area exact. Content says where things are: maps and
    ``evidence`` are those of CutMix.
    """

    def __init__(
        self,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        alpha: float = 1.0,
        alpha_style: float = 0.8,
        distances: Tensor | None = None,
        delta: float = 3.0,
        content: float = 0.7,
        size: int | None = 224,
        labels: Labels = "area",
        p: Probability = 1.0,
        per_batch: bool = False,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.stylist = Stylist(*check_network("StyleCutMix", encoder, decoder), size)
        self.draw = Draw(check_pair(alpha), p, per_batch)
        self.draw_style = Draw(check_pair(alpha_style), 1.0, per_batch)
        if not delta > 0:
            raise UserError(f"delta={delta}: give the distance of styles, above 0, at which γ is tanh(1)")
        self.distances, self.delta = _check_distances(distances), delta
        self.content = check_share("content", content)
        self.labels: Labels = check_labels(labels)
        self.normalize = normalize

    @property
    def guarded(self) -> bool:
        return self.labels != "area"

    def make_params(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Any]:
        n, (height, width) = len(batch.images), batch.images.shape[-2:]
        mixed = self.draw.mixed(n, generator)
        pasted = self.draw.shares(n, generator)[:, 1:]
        style = self.draw.shares(n, generator)[:, 0]
        gamma = self.draw_style.shares(n, generator)[:, 0]
        centre = self.draw.uniform(n, 2, generator=generator)
        rows = self.draw.rows(n, generator)
        if self.distances is not None:
            gamma = self._by_distance(batch, rows)
        sides = torch.tensor([height, width], dtype=torch.float64)
        sizes = (sides * pasted.sqrt()).round().long() * mixed[:, None]
        boxes = clipped_boxes((sides * centre).long(), sizes, height, width)
        return {"rows": rows, "mixed": mixed, "boxes": boxes[:, None], "style": style, "gamma": gamma}

    def _by_distance(self, batch: Batch, rows: Tensor) -> Tensor:
        classes = MixedLabels.of(batch.labels).classes
        assert self.distances is not None
        if classes.shape[1] != 1:
            raise UserError("StyleCutMix with distances needs one class per image: let it be the first mixer")
        if classes.device.type == "cpu" and classes.numel() and int(classes.max()) >= len(self.distances):
            raise UserError(
                f"a label is {int(classes.max())}, and distances has {len(self.distances)} classes: give a matrix with "
                "a row and a column for every class"
            )
        pair = classes[rows.to(classes.device), 0]
        apart = self.distances.to(classes.device)[pair[:, 0], pair[:, 1]]
        return torch.tanh((apart + _SAME_CLASS * (pair[:, 0] == pair[:, 1])) / self.delta)

    def mix(self, batch: Batch, params: dict[str, Any]) -> Batch:
        rows, boxes, style, gamma = (params[name] for name in ("rows", "boxes", "style", "gamma"))
        # As one class each, the weights are those of the content alone.
        plain = torch.arange(len(batch.images), device=batch.images.device)
        cut = mix_nested(batch._replace(labels=plain), rows, boxes, None, self.labels, self.normalize)
        counted = MixedLabels.of(cut.labels).weights
        area = 1 - _area(boxes, *batch.images.shape[-2:]).to(counted.device)
        style, gamma = style.to(counted.device), gamma.to(counted.device)
        share = gamma * area + (1 - gamma) * style
        share = torch.where(params["mixed"].to(counted.device), share, 1.0)
        weights = self.content * counted + (1 - self.content) * torch.stack([share, 1 - share], 1)
        return Batch.of(
            self._pictures(batch.images.as_subclass(Tensor), params),
            label_sets(batch.labels, rows, weights),
            cut.importance,
            batch.indices,
            cut.evidence,
        )

    def _pictures(self, images: Tensor, params: dict[str, Any]) -> Tensor:
        result = images.clone()
        chosen = params["mixed"].nonzero()[:, 0]
        if not len(chosen):
            return result
        device = images.device
        base, partner = images[chosen.to(device)], images[params["rows"][chosen, 1].to(device)]
        ours, theirs = self.stylist.encode(base), self.stylist.encode(partner)
        gamma = params["gamma"][chosen.to(params["gamma"].device)].to(device, torch.float32)[:, None, None, None]
        style = params["style"][chosen].to(device, torch.float32)[:, None, None, None]
        inside = regions.box_mask(params["boxes"][chosen, 0].to(device), *images.shape[-2:])[:, None]
        a, b = in_unit(base), in_unit(partner)
        a_b = gamma * a + (1 - gamma) * self.stylist.decode(adain(ours, theirs), base)
        b_a = gamma * b + (1 - gamma) * self.stylist.decode(adain(theirs, ours), base)
        picture = torch.where(inside, (1 - style) * b + style * b_a, style * a + (1 - style) * a_b)
        result[chosen.to(device)] = as_pixels(picture, images)
        return result

    def extra_repr(self) -> str:
        way = f"alpha_style={self.draw_style.alpha[0]}"
        if self.distances is not None:
            way = f"distances={randomness.derive(*map(str, self.distances.flatten().tolist()))}, delta={self.delta}"
        return f"{self.draw.text(self.labels, self.normalize)}, content={self.content}, {way}"


def style_distances(mixer: StyleCutMix | nn.Module, images: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Distances of the classes' styles, (C, C) float32: mean square difference of the classes' mean style vectors,
    which hold μ and σ of every channel of the features (Hong et al., CVPR 2021).

    mixer: a `StyleMix` or `StyleCutMix`, whose network looks, or its `Stylist`; of an encoder made by
        `augwise.models.style_network` the features are relu1_1, relu2_1, relu3_1 and relu4_1, of another its output.
    images: (N, C, H, W) uint8 or float in [0, 1]; labels: (N,) int64. A class without images is refused.
    """
    stylist = mixer if isinstance(mixer, Stylist) else getattr(mixer, "stylist", None)
    if not isinstance(stylist, Stylist):
        raise UserError(f"style_distances got a {type(mixer).__name__}: give a StyleMix or StyleCutMix")
    counts = torch.bincount(labels, minlength=num_classes)
    if len(counts) > num_classes or not counts.all():
        raise UserError(f"of {num_classes} classes some have no images, or labels go beyond: {counts.tolist()}")
    vectors = stylist.styles(images)
    total = torch.zeros(num_classes, vectors.shape[1], dtype=torch.float64, device=vectors.device)
    mean = total.index_add_(0, labels.to(vectors.device), vectors.double()) / counts.to(vectors.device)[:, None]
    return (mean[:, None] - mean).square().mean(2).float()


def _check_distances(distances: Tensor | None) -> Tensor | None:
    if distances is None:
        return None
    square = distances.ndim == 2 and distances.shape[0] == distances.shape[1]
    if not square or not bool((distances >= 0).all()):
        raise UserError(
            f"distances of shape {tuple(distances.shape)}: give a square matrix of numbers from 0 on, one row and "
            "column for each class (style_distances makes one)"
        )
    return distances.detach().double()


def _area(boxes: Tensor, height: int, width: int) -> Tensor:
    return (boxes[:, 0, 2:] - boxes[:, 0, :2]).prod(1).double() / (height * width)
