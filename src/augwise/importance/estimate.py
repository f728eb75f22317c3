"""`augwise.estimate`: the importance maps of a whole data set, computed once, resumable at any moment.

Work is cut into fixed chunks of rows. An interrupted chunk is done again whole, and every image draws from a seed of
its own, so a store that was stopped, resumed, or filled by several processes equals one from a single quiet run, byte
for byte (same device, versions and thread count).
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from . import store_files as files
from . import writer
from .chunks import Chunks, Span
from .descent import Stop
from .estimator import Estimator
from .job import Job, check_method, frozen
from .processes import Processes
from .rows import Rows
from .speed import Precision, Speed, laid_out
from .store import ImportanceStore
from .store_files import META, Meta

_QUICK = 1.0  # seconds that one timed batch should last at most


@dataclass(frozen=True)
class Plan:
    """What a run would do: ``rows`` maps in all, ``pending`` still to compute, in ``seconds`` (rough)."""

    rows: int
    pending: int
    bytes: int
    images_per_second: float
    seconds: float
    text: str

    def __str__(self) -> str:
        return self.text


@overload
def estimate(
    model: nn.Module | None, dataset: Any, path: str | Path, method: Estimator, *, dry_run: Literal[False] = False,
    seed: int = ..., chunk_size: int | None = ..., device: torch.device | str | None = ..., progress: bool = ...,
    num_workers: int = ..., part: tuple[int, int] | None = ..., size: int | None = ...,
    continuous: bool | Stop = ..., precision: Precision = ..., compile: bool = ...,
) -> ImportanceStore: ...  # fmt: skip
@overload
def estimate(
    model: nn.Module | None, dataset: Any, path: str | Path, method: Estimator, *, dry_run: bool,
    seed: int = ..., chunk_size: int | None = ..., device: torch.device | str | None = ..., progress: bool = ...,
    num_workers: int = ..., part: tuple[int, int] | None = ..., size: int | None = ...,
    continuous: bool | Stop = ..., precision: Precision = ..., compile: bool = ...,
) -> ImportanceStore | Plan: ...  # fmt: skip
def estimate(
    model: nn.Module | None,
    dataset: Any,
    path: str | Path,
    method: Estimator,
    *,
    seed: int = 0,
    chunk_size: int | None = None,
    device: torch.device | str | None = None,
    dry_run: bool = False,
    progress: bool = True,
    num_workers: int = 0,
    part: tuple[int, int] | None = None,
    size: int | None = None,
    continuous: bool | Stop = False,
    precision: Precision = "auto",
    compile: bool = False,
) -> ImportanceStore | Plan:
    """Compute one importance map per image and keep them in a store on disk.

    model: a classifier in eval mode that takes pixels in [0, 1] (`aw.Normalized` around one that wants normalised
        ones) and returns logits (N, classes); None for methods that need none. Its parameters are frozen meanwhile.
    dataset: a map-style data set, ``dataset[i] -> image, label``, all images of one size unless ``size`` is given.
    path: the store's folder. If a store of the same settings is there, it is gone on with: what is pending is
        computed, and images that it does not know are added; images that were still to be done and have left the data
        set (a broken file was repaired or removed) give their rows to others. Anything that differs is refused by name.
    method: an estimator. seed: with an image's bytes, decides all numbers that are drawn for it.
    chunk_size: images per step, the unit of resuming (default: the method's). device: default where the model is.
    dry_run: write nothing, print and return the `Plan`. num_workers: processes that read images.
    part: (i, n): only share i of n, for several machines with one folder each; join the folders with `augwise.merge`.
    size: look at every image whole, stretched to a square of so many pixels, so that images may be of any size. The
        store then belongs to the images as they are: a map is stretched back over its image when it is read.
    continuous: of attacks: an image that has converged (`Stop`; True: its defaults) makes room for the next one, so
        that fewer steps are made. Its map depends on itself alone as ever, but an attack that ends early ends with
        slightly other points: such a store is another one than without. chunk_size is the number of images attacked at
        a time; a chunk is written when the last of its images is done, so an interrupted run loses two or three chunks.
    precision: "bf16" runs the classifier's passes for gradients in bfloat16, in channels_last layout; what decides (is
        the image recognised, has the attack succeeded) stays in float32. "auto": bf16 for attacks on GPUs that have it,
        else float32. compile: compile those passes with `torch.compile`; worth it for long runs on a GPU. Both are
        recorded with the hardware.

    A batch that does not fit into memory is halved, said so, and its chunk done again.

    Under torchrun the processes of one machine share the work on one store. Ctrl-C and kills leave a store that the
    same call resumes.
    Raises `UserError` before any work for data, model, method, settings or folder that cannot be used.
    """
    check_method(method, model)
    stop = (Stop() if continuous else None) if isinstance(continuous, bool) else continuous
    folder, rows = Path(path), Rows(dataset, size)
    with (
        Processes() as processes,
        frozen(model if method.needs_model else None, _local(device)) as where,
        ExitStack() as stack,
    ):
        quiet = not progress or processes.rank > 0
        speed = Speed.of(method, where, precision, compile)
        stack.enter_context(laid_out(model if method.needs_model else None, where, speed))
        job = Job(
            model, rows, method, seed=seed, chunk_size=chunk_size, device=where, part=part, progress=not quiet,
            continuous=stop, speed=speed,
        )  # fmt: skip
        if dry_run:
            chunks = Chunks(job, lambda text, _: tqdm.write(text, file=sys.stderr))
            plan = _plan(job, chunks, folder, _planned(job, folder), processes.world)
            if processes.rank == 0:
                print(plan)
            return plan

        def begin() -> None:
            if not (folder / META).exists():
                writer.check_free(folder, job.meta)
            files.make_folder(folder, job.meta)
            stack.enter_context(files.Lock(folder, job.meta))
            note = writer.begin(folder, job.meta, job.hashes, job.labels)
            if note and not quiet:
                tqdm.write(note, file=sys.stderr)

        processes.first(begin)
        _fill(job, folder, processes, num_workers, quiet)
        processes.wait()
        processes.first(lambda: writer.finish(folder))
    return ImportanceStore(folder)


def _local(device: torch.device | str | None) -> torch.device | str | None:
    """Of several processes each takes the GPU of its number."""
    if device is None or torch.device(device) != torch.device("cuda"):
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def _fill(job: Job, folder: Path, processes: Processes, num_workers: int, quiet: bool) -> None:
    """Compute this process's share of the pending chunks."""
    meta = files.read_meta(folder)
    arrays = files.open_arrays(folder, meta)
    hashes, labels = arrays["hashes"], arrays["labels"]
    mine = [
        (a, b) for i, a, b in writer.pending_chunks(meta, arrays["status"]) if i % processes.world == processes.rank
    ]
    if not mine:
        return
    spans = [Span(a, b, job.find(hashes[a:b], labels[a:b]).tolist(), np.array(hashes[a:b])) for a, b in mine]

    def smaller(text: str, batch: int) -> None:
        tqdm.write(text, file=sys.stderr)
        if processes.rank == 0:
            writer.note_batch(folder, job.meta.environments[0], batch)

    chunks = Chunks(job, smaller)
    if not quiet:
        flat = [row for span in spans for row in span.rows]
        tqdm.write(str(_plan(job, chunks, folder, flat, 1)), file=sys.stderr)
    tally = _Tally(job.meta.sparse)
    total = sum(b - a for a, b in mine)
    # One thread writes while the next chunk is computed: waiting for the disk would cost a GPU several per cent.
    with tqdm(total=total, desc=job.method.name, unit="img", disable=quiet) as bar, ThreadPoolExecutor(1) as behind:
        written: Future[None] | None = None
        for span, importance, failed in chunks.computed(spans, num_workers, job.continuous):
            if written is not None:
                written.result()
            written = behind.submit(writer.write_chunk, folder, span.start, importance, failed)
            bar.update(len(failed))
            bar.set_postfix_str(tally.add(importance, failed), refresh=False)
        if written is not None:
            written.result()


class _Tally:
    """Success rate and mean key points of what this call has computed, for the progress bar."""

    def __init__(self, sparse: bool) -> None:
        self.sparse, self.rows, self.failed, self.points = sparse, 0, 0, 0

    def add(self, importance: np.ndarray, failed: np.ndarray) -> str:
        if not self.sparse:
            return ""
        self.rows += len(failed)
        self.failed += int(failed.sum())
        self.points += int(np.count_nonzero(importance))
        return f"success {1 - self.failed / self.rows:.1%}, key points {self.points / self.rows:.1f}"


def _planned(job: Job, folder: Path) -> list[int]:
    """The data set's rows that a run would compute, without touching the folder."""
    if not (folder / META).exists():
        writer.check_free(folder, job.meta)
        return job.find(job.hashes, job.labels).tolist()
    meta = files.read_meta(folder)
    writer.check_same(folder, meta, job.meta)
    settle = writer.settled(folder, meta, files.open_arrays(folder, meta), job.hashes, job.labels)
    rows = [row for _, a, b in writer.pending_chunks(settle.meta, settle.status) for row in range(a, b)]
    known = job.find(settle.hashes[rows], settle.labels[rows])
    return [*known.tolist(), *job.find(job.hashes[settle.new], job.labels[settle.new]).tolist()]


def _plan(job: Job, chunks: Chunks, folder: Path, pending: list[int], world: int) -> Plan:
    meta: Meta = job.meta
    rate = _rate(job, chunks, pending) if pending else float("inf")
    seconds = len(pending) / rate / world
    size = "×".join(str(side) for side in job.shape)
    text = (
        f"{meta.method} on {meta.data}: {len(pending)} of {meta.rows} images of {size} to do in chunks of {meta.chunk} "
        f"on {job.device} ({job.method.cost(*job.shape[1:])}), about {_duration(seconds)} at {rate:.3g} images/s; "
        f"maps go to {folder} ({meta.bytes() / 1e6:.1f} MB)"
    )
    if job.continuous is not None:
        text += "\ncontinuous batching: images that have converged leave, so it should take less than that"
    if job.model is not None:
        text += f"\n{_trust(*job.accuracy())}"
    if not pending:
        text = f"{meta.method} on {meta.data}: all {meta.rows} maps are in {folder}, nothing to do"
    return Plan(meta.rows, len(pending), meta.bytes(), rate, seconds, text)


def _trust(right: int, looked: int, classes: int, same: bool) -> str:
    """How well the classifier does on these images: maps of one that guesses say nothing about the images."""
    text = f"the classifier is right on {100 * right / looked:.0f} % of {looked} of these images"
    if same and looked > 1:
        return f"{text} and says the same of all of them: its maps will say nothing; check its weights"
    # Three standard deviations above the share that blind guessing would get right.
    chance = 1 / classes
    if right / looked <= chance + 3 * (chance * (1 - chance) / looked) ** 0.5:
        text += (
            f", no better than chance ({100 * chance:.0f} %): its maps will say nothing about the images (and an "
            "attack on an image that it gets wrong counts as a success); train it longer first"
        )
    return text


def _rate(job: Job, chunks: Chunks, pending: list[int]) -> float:
    """Images per second of batches that grow until one takes long enough to tell or is a whole chunk.

    A single image comes first: the first call of all pays for set-up, and few images at a time are slower each.
    """
    sizes = [1, 8, 32, 128, 512, 2048]
    largest = min(job.meta.chunk, len(pending))
    rate, seconds = 0.0, 0.0
    for size in [min(size, largest) for size in sizes]:
        rows = pending[:size]
        (images, labels), hashes = next(job.load([rows])), job.rows.some(rows)
        start = time.perf_counter()
        chunks.compute(images, labels, hashes)
        seconds = max(time.perf_counter() - start, 1e-9)
        rate = size / seconds
        if (size > 1 and seconds > _QUICK / 4) or seconds > 8 * _QUICK or size == largest:
            break
    return rate


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
