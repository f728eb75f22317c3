"""Mix the content of two images by one share and their style by another (StyleMix)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..sample import Batch
from ..schedule import Probability
from .base import Mixer, label_sets
from .dmixup import blend
from .several import Draw, check_pair
from .shares import Labels, check_labels, source_shares
from .style import Stylist, adain, as_pixels, check_network, check_share


def mix_styles(ours: Tensor, theirs: Tensor, content: Tensor, style: Tensor, both: Tensor) -> Tensor:
    """t f_aa + (1 - r_c - r_s + t) f_bb + (r_c - t) f_ab + (r_s - t) f_ba with f_xy = AdaIN(f_x, f_y), the content of x
    in the style of y (Hong et al., CVPR 2021).

    ours, theirs: features f_a and f_b, (N, C, H, W); content, style: r_c and r_s, a's shares, (N,); both: t, (N,), from
    max(0, r_c + r_s - 1) to min(r_c, r_s). The four weights sum to 1; a's content has r_c of them and its style r_s.
    """
    content, style, both = (
        t.to(ours.dtype).to(ours.device, non_blocking=True)[:, None, None, None] for t in (content, style, both)
    )
    mixed = both * ours + (1 - content - style + both) * theirs
    return mixed + (content - both) * adain(ours, theirs) + (style - both) * adain(theirs, ours)


class StyleMix(Mixer):
    """Blend the content of image a and its partner b with a's share r_c and their style with r_s (Hong et al., CVPR
    2021): x~ = D(mix of AdaIN features), see `mix_styles`, with r_c, r_s ~ Beta(alpha, alpha) and t uniform in what the
    two allow. A partner's weight in the label is r (1 - r_c) + (1 - r) (1 - r_s).

    encoder, decoder: the style network, of which the user has the weights: `augwise.models.style_network`, or modules
        (N, 3, H, W) in [0, 1] -> features -> (N, 3, H, W).
    alpha: of both beta distributions; the released program's is 0.5.
    content: r, how much of the label goes by content, the rest by style; the paper's is 0.7.
    size: shorter side at which the style network sees the images; 224 also for images of 32 px, as published, since at
        an eighth of 32 px there is little left to take a mean of. None: as they are, 49 times cheaper.
    labels: how content counts: "area": by r_c; by "importance": by the share of the importance, r_c η_a as a part of
        r_c η_a + (1 - r_c) η_b; "half": the mean of the two. The last two need maps.
    p: probability that an image is mixed at all, in Python a `Ramp` too; one that is not stays as it is. 0.2 in the
        released program.
    per_batch: one r_c, r_s and t for the whole batch, as in the released program.
    normalize: for labels by importance, make the two maps of a pair sum to 1 first, see `CutMix`.

    Images are uint8 or floats in [0, 1], before `Normalize`. Content says where things are, so the mixed map is
    r_c η_a + (1 - r_c) η_b; ``evidence`` becomes that of the base image plus what the partner brought.
    """

    def __init__(
        self,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        alpha: float = 0.5,
        content: float = 0.7,
        size: int | None = 224,
        labels: Labels = "area",
        p: Probability = 1.0,
        per_batch: bool = False,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.stylist = Stylist(*check_network("StyleMix", encoder, decoder), size)
        self.draw = Draw(check_pair(alpha), p, per_batch)
        self.content = check_share("content", content)
        self.labels: Labels = check_labels(labels)
        self.normalize = normalize

    @property
    def guarded(self) -> bool:
        return self.labels != "area"

    def make_params(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Any]:
        n = len(batch.images)
        mixed = self.draw.mixed(n, generator)
        content = self.draw.shares(n, generator)[:, 0]
        style = self.draw.shares(n, generator)[:, 0]
        where = self.draw.uniform(n, generator=generator)
        least, most = (content + style - 1).clamp_min(0), torch.minimum(content, style)
        both = least + where * (most - least)
        rows = self.draw.rows(n, generator)
        content, style, both = (torch.where(mixed, t, 1.0) for t in (content, style, both))
        return {"rows": rows, "mixed": mixed, "content": content, "style": style, "both": both}

    def mix(self, batch: Batch, params: dict[str, Any]) -> Batch:
        rows, content, style = params["rows"], params["content"], params["style"]
        shares = torch.stack([content, 1 - content], 1)
        weights, importance, evidence = shares, batch.importance, batch.evidence
        if importance is not None:
            before = importance.as_subclass(Tensor)
            importance = blend(before, rows, shares)
            whole = before.sum((1, 2), dtype=torch.float64)[rows.to(before.device)]
            shown = shares.to(whole.device) * whole
            evidence = evidence + shown[:, 1:].sum(1).to(evidence.dtype)
            weights = source_shares(self.labels, shares.to(whole.device), shown, whole, self.normalize)
        by_style = torch.stack([style, 1 - style], 1).to(weights.device)
        return Batch.of(
            self._pictures(batch.images.as_subclass(Tensor), params),
            label_sets(batch.labels, rows, self.content * weights + (1 - self.content) * by_style),
            importance,
            batch.indices,
            evidence,
        )

    def _pictures(self, images: Tensor, params: dict[str, Any]) -> Tensor:
        result = images.clone()
        chosen = params["mixed"].nonzero()[:, 0]  # drawn on the CPU: no device is waited for
        if len(chosen):
            base = images[chosen.to(images.device)]
            partner = images[params["rows"][chosen, 1].to(images.device)]
            shares = (params[name][chosen] for name in ("content", "style", "both"))
            features = mix_styles(self.stylist.encode(base), self.stylist.encode(partner), *shares)
            result[chosen.to(images.device)] = as_pixels(self.stylist.decode(features, base), images)
        return result

    def extra_repr(self) -> str:
        return f"{self.draw.text(self.labels, self.normalize)}, content={self.content}"
