"""The verb ``search``: an architecture from a subset of the images, its file, and its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..report.cells import called, state_name

if TYPE_CHECKING:
    from ..training.search_config import SearchConfig


def search_architecture(config: SearchConfig, command: str = "") -> dict[str, Any]:
    """Search as ``config`` says, print what was found and return it; see `augwise.training.search.search`. Writes
    ``report.html`` beside the results."""
    from ..data.image_files import describe_left_out
    from ..models.genotype import GENOTYPE
    from ..report.build import report
    from ..report.search_page import UNDECIDED, as_searched, undecided
    from ..training.search import search

    result = search(config, command=command)
    print(as_text(result))
    print(describe_left_out(result["data"]["left_out"]), end="")
    print(f"\n{config.out / GENOTYPE}  {report(config.out)}")
    if undecided(result):
        print(UNDECIDED)
    print(
        f"train its network as large as the supernet: augwise train --data {config.data} {as_searched(result)}\n"
        f"or of 36 channels and 20 cells, for a GPU: --model darts:{config.out / GENOTYPE}"
    )
    return result


def as_text(result: dict[str, Any]) -> str:
    """The table of the terminal: both cells, node by node, and how large networks made of them are."""
    data, last = result["data"], result["curve"][-1]
    lines = [f"{data['name']}, {data['images']} images in halves of {data['halves'][0]} and {data['halves'][1]}"]
    for kind in ("normal", "reduction"):
        lines.append(f"{kind} cell")
        for node, edges in enumerate(result["genotype"][kind], 1):
            told = " + ".join(f"{called(operation)} of {state_name(state)}" for operation, state in edges)
            lines.append(f"  node {node} = {told}")
    for size in result["networks"]:
        lines.append(
            f"{size['model']}: {size['parameters'] / 1e6:.2f} million parameters, "
            f"{size['multiply_adds'] / 1e6:.0f} million multiply-adds at {size['image'][1]} px"
        )
    learned = last.get("architecture_accuracy")
    beside = "" if learned is None else f", of the mixture’s {100 * learned:.1f} %"
    lines.append(
        f"supernet in its last epoch: accuracy of the weights’ half {100 * last['train_accuracy']:.1f} %{beside}; "
        f"{result['seconds']:.0f} s"
    )
    return "\n".join(lines)
