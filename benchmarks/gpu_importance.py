"""Importance at full size on one GPU: CDIEA's store, erasure fidelity, a one-pass network, sparse attacks.

    python -m benchmarks.gpu_importance --data npz:cifar10.npz --out gpu --minutes 7
    python -m benchmarks.gpu_importance --data npz:cifar100.npz --out gpu100 --minutes 7 --parts store

Resumable: run it again with the same folder until it prints "complete"; each call stops after ``--minutes``. In this
order, each skipped where it is done:

base, other: ResNet-18 in bfloat16 on all training images, ``--epochs`` epochs, seeds 0 and 1.
store: CDIEA with 100 steps on all training images (aim: 120 s). ``OUT/store.json`` has seconds, images per second and
``floor_share``: the least that 100 steps can take, 100 forward and input-backward passes of the same classifier, at the
same batch and as fast as it is run, over what an image took; a call that goes on counts its own images.
one-pass: ``augwise distil`` on all training images, 2 000 held out.
fidelity: ``augwise fidelity`` on 2 000 test images, every estimator, base and other.
attacks: ``augwise attack-table`` on 1 000 test images, both bounds, untargeted.

``python -m benchmarks.publish FOLDER NAME`` copies what came out. Needs no package of the command line and no network.
Rehearsal on a CPU: ``--data digits --limit 200 --model small_cnn --epochs 2 --images 20 --batch-size 50 --batch 64``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ._common import for_minutes  # first: it sets the thread variables  # isort: skip

import torch

import augwise as aw
from augwise.importance.speed import Speed, laid_out, quick, wait_for
from augwise.importance.store import ImportanceStore
from augwise.training.results import RESULTS, environment, write_json
from augwise.training.trained import trained

from .cdiea import bare_pass

PARTS = ("store", "one-pass", "fidelity", "attacks")
_PASSES = 20  # bare passes that the floor is measured by


def main() -> None:
    """Go on with whatever is not done yet, until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--limit", type=int, default=None, help="training images; default all")
    parser.add_argument("--images", type=int, default=2000, help="test images of fidelity; half as many are attacked")
    parser.add_argument("--batch-size", type=int, default=256, help="of the training")
    parser.add_argument("--batch", type=int, default=500, help="images attacked at once for the store")
    options = parser.parse_args()
    for_minutes(options.minutes, lambda: work(options))


def work(options: argparse.Namespace) -> None:
    """The networks, then the parts asked for."""
    out: Path = options.out
    base, other = (_classifier(options, name, seed) for seed, name in enumerate(("base", "other")))
    if "store" in options.parts and not (out / "store.json").exists():
        measure_store(options)
    shared = {"data": options.data, "run": base}
    if "one-pass" in options.parts and not (out / "one-pass" / RESULTS).exists():
        settings = aw.OnePassSettings(look="features", batch_size=min(256, options.batch_size))
        held_out = {"others": (other,), "held_out_limit": options.images}
        aw.distil(aw.DistilConfig(**shared, **held_out, out=out / "one-pass", limit=options.limit, settings=settings))
    if "fidelity" in options.parts and not (out / "fidelity" / RESULTS).exists():
        aw.fidelity(aw.FidelityConfig(**shared, other=(other,), limit=options.images, out=out / "fidelity"))
    if "attacks" in options.parts and not (out / "attacks" / RESULTS).exists():
        aw.attack_table(aw.AttackTableConfig(**shared, limit=options.images // 2, out=out / "attacks"))


def _classifier(options: argparse.Namespace, name: str, seed: int) -> Path:
    """Folder of a finished training run, trained if it is not."""
    folder = options.out / name
    if not (folder / RESULTS).exists():
        settings = aw.TrainConfig(
            data=options.data, limit=options.limit, model=options.model, epochs=options.epochs, seed=seed, out=folder,
            batch_size=options.batch_size, lr=0.1, warmup_epochs=1, eval_last=1, tensorboard=False,
        )  # fmt: skip
        aw.train(settings)
    return folder


def measure_store(options: argparse.Namespace) -> None:
    """CDIEA on every training image, and the bare passes in the same call."""
    source, method = aw.open_source(options.data, limit=options.limit), aw.CDIEA()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = trained(options.out / "base", list(source.class_names)).model.to(device)
    images = torch.stack([source[i][0] for i in range(min(options.batch, len(source)))]).to(device).float() / 255
    speed = Speed.of(method, device, "auto", False)
    with laid_out(model, device, speed):
        fast = quick(model, device, speed)
        bare_pass(fast, images)
        wait_for(device)
        began = time.perf_counter()
        for _ in range(_PASSES):
            bare_pass(fast, images)
        wait_for(device)
    passes = (time.perf_counter() - began) / _PASSES / len(images)
    path = options.out / "cdiea.maps"
    before = int((ImportanceStore(path, allow_partial=True).status != 0).sum()) if path.exists() else 0
    began = time.perf_counter()
    store = aw.estimate(model, source, path, method, chunk_size=options.batch, device=device)
    seconds = time.perf_counter() - began
    done = len(store) - before
    result = {
        "kind": "store",
        "data": source.name,
        "model": options.model,
        "steps": method.steps,
        "batch": options.batch,
        "seconds": seconds,
        "images_in_this_call": done,
        "images_per_second": done / seconds,
        "bare_pass_ms_per_image": 1000 * passes,
        "floor_share": method.steps * passes * done / seconds,
        **store.summary(),
        "environment": environment(device),
    }
    write_json(options.out / "store.json", result)


if __name__ == "__main__":
    main()
