"""Re-identification measured: embeddings of all images once, then every query's ranking of the gallery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.people import Who, is_of_people, who_is_who
from ..errors import UserError
from ..models.reid import IdentityNetwork
from ..reid import Ranking, Rerank, evaluate_ranking
from ..reid.ranking import JUNK
from ..sample import Batch

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ..data import Source

RANKS = (1, 5, 10)


@torch.no_grad()
def embeddings(
    model: nn.Module, batches: Iterable[Batch], count: int, accelerator: Accelerator | None = None
) -> Tensor:
    """(count, E) float32 embeddings, by the row of each image, from the batches of all processes."""
    from contextlib import nullcontext

    model.eval()
    rows: list[Tensor] = []
    parts: list[Tensor] = []
    for batch in batches:
        with nullcontext() if accelerator is None else accelerator.autocast():
            parts.append(model(batch.images, everything=True).embedding.float())
        rows.append(batch.indices)
    if not parts:
        raise UserError("there are no images to rank")
    found = parts[0].new_zeros(count, parts[0].shape[1])
    found[torch.cat(rows)] = torch.cat(parts)
    if accelerator is not None and accelerator.num_processes > 1:
        whole: Any = accelerator.reduce(found, reduction="sum")  # every row is another process's, and zero here
        return whole
    return found


def rank_people(found: Tensor, who: Who, rerank: Rerank | None = None, progress: bool = False) -> Ranking:
    """The queries' rankings of the gallery, by cosine."""
    asked, given = np.flatnonzero(who.asked), np.flatnonzero(~who.asked)
    query, gallery = (found[torch.from_numpy(rows).to(found.device)] for rows in (asked, given))
    labels = [part[rows] for part in (who.identities, who.cameras) for rows in (asked, given)]
    return evaluate_ranking(query, gallery, *labels, metric="cosine", rerank=rerank, ranks=RANKS, progress=progress)


def in_numbers(ranking: Ranking) -> dict[str, Any]:
    """What results tell: map, rank_1, rank_5, rank_10 as shares, and how many queries and gallery images counted."""
    return {
        "map": ranking.map,
        **{f"rank_{k}": share for k, share in ranking.cmc.items()},
        "queries": ranking.queries,
        "left_out": ranking.left_out,
        "gallery": ranking.gallery,
    }


def row_of_curve(ranking: Ranking) -> dict[str, float]:
    """What the curve tells: the share of queries whose first image is right, rank 1, is the accuracy."""
    return {"test_accuracy": ranking.cmc[1], "test_map": ranking.map}


def by_identity(ranking: Ranking, who: Who, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Of each identity that is asked for and has a match: its queries, their mean AP and the share with rank 1."""
    asked = who.identities[who.asked]
    counted = ranking.first > 0
    rows = []
    for number in np.unique(asked[counted]):
        own = (asked == number) & counted
        precision, first = ranking.average_precision[own], ranking.first[own]
        measured = {"map": float(precision.mean()), "rank_1": float((first == 1).mean())}
        rows.append({"identity": names[int(number)], "queries": len(first), **measured})
    return rows


def measures_in_words(measured: Mapping[str, Any]) -> str:
    """``mAP 91.20 %, rank 1 97.00 %, rank 5 99.00 %, rank 10 99.50 %``."""
    ranks = ", ".join(f"rank {k} {100 * measured[f'rank_{k}']:.2f} %" for k in RANKS)
    return f"mAP {100 * measured['map']:.2f} %, {ranks}"


def queries_in_words(measured: Mapping[str, Any]) -> str:
    """How many queries of how many images, and how many of them have no match there."""
    without = measured["left_out"]
    text = f"{measured['queries']} queries of a gallery of {measured['gallery']} images"
    if without:
        text += f"; {without} more without a match by another camera left out"
    return text


def check_people(test: Source, train: Source | None = None) -> None:
    """`UserError` where there is nobody to train on or to rank: before any image is read."""
    if train is not None:
        who_is_who(train)
        if len(np.unique(train.labels)) < 2:
            raise UserError(f"{train.name} has images of one identity only: there is nobody to tell it from")
    who = who_is_who(test)
    if not who.asked.any() or who.asked.all():
        what = "queries alone" if who.asked.any() else "no queries"
        raise UserError(
            f"the images of {test.name} that are measured on are {what}: give the split test, which has queries and "
            "gallery, or a larger eval_limit"
        )
    if not (who.identities[~who.asked] != JUNK).any():
        raise UserError(f"the gallery of {test.name} is junk alone: give more of it")


def check_network(model: nn.Module, name: str) -> None:
    """`UserError` for a network that gives no embeddings."""
    if not isinstance(model, IdentityNetwork):
        raise UserError(
            f"{name} gives no embeddings, which objective=reid needs: use reid_resnet50, reid_fpb or reid_small, or a "
            "network of your own that is an augwise.models.reid.IdentityNetwork"
        )


def refuse_foreign(source: Any) -> None:
    """`UserError` where data of people meet an objective that cannot measure them."""
    if is_of_people(source):
        raise UserError(
            f"the test images of {source.name} show other people than the training images, so no accuracy can be "
            "measured: set objective=reid (--objective reid), or val_share to measure on images of the same people"
        )
