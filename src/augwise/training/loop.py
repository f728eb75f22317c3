"""The training loop over phases: backward, clipping, averages, schedule, checkpoint, progress.

It knows nothing of data, losses or methods; an `Objective` brings those. Nothing here waits for the device during an
epoch, except once a second for the progress bar. All that a step draws from torch's own generators (dropout) is keyed
by (seed, epoch, step), so a resumed run ends with the weights of an uninterrupted one.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .. import randomness
from ..errors import UserError
from ..models.frozen import in_training
from .checkpoint import Checkpoint
from .objectives.base import Objective, Phase, Step
from .optimizers import Average, Schedule

if TYPE_CHECKING:
    from accelerate import Accelerator


class Fitted(NamedTuple):
    """curve: one row per epoch (epoch, lr, train_loss, measures, test_accuracy, seconds); model: the evaluated one."""

    curve: list[dict[str, float]]
    model: nn.Module


def fit(
    objective: Objective,
    accelerator: Accelerator,
    schedule: Schedule,
    *,
    seed: int = 0,
    clip: float | None = None,
    ema: float = 0.0,
    evaluate: Callable[[nn.Module], float | Mapping[str, float]] | None = None,
    evaluate_last: int | None = None,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    compile: bool = False,
    quiet: bool = False,
) -> Fitted:
    """Train for ``schedule.epochs`` epochs, from the checkpoint if there is one.

    clip: largest gradient norm. ema: decay of the moving average of the weights, 0 for none; it is what is evaluated.
    evaluate: accuracy of a model in evaluation mode, or several measures with "test_accuracy" among them, called after
    each epoch, or each of the ``evaluate_last`` last ones (by every process). on_epoch: gets each new row of the
    curve. compile: of every model, by torch.compile, until
    the end. Ctrl-C ends the step, saves and raises `KeyboardInterrupt`.
    """
    loop = _Loop(objective, accelerator, schedule, seed, clip, ema, checkpoint, quiet)
    if compile:
        loop.compile()
    first = 0 if evaluate_last is None else schedule.epochs - evaluate_last
    saved = None if checkpoint is None else checkpoint.load()
    accelerator.wait_for_everyone()
    if saved is not None:
        loop.load_state_dict(saved)
    try:
        with _own_generators(accelerator.device), _interruptible(checkpoint is not None) as loop.interrupted:
            loop.run(evaluate, first, on_epoch)
    finally:
        loop.close()
    return Fitted(loop.curve, loop.evaluated())


class _Loop:
    def __init__(
        self,
        objective: Objective,
        accelerator: Accelerator,
        schedule: Schedule,
        seed: int,
        clip: float | None,
        ema: float,
        checkpoint: Checkpoint | None,
        quiet: bool,
    ) -> None:
        self.objective, self.accelerator, self.schedule = objective, accelerator, schedule
        self.seed, self.clip, self.checkpoint = seed, clip, checkpoint
        # Averages are copied before Accelerate replaces the models' forward.
        self.averages = {k: Average(m, ema) for k, m in objective.models.items()} if ema else {}
        self.models = {k: accelerator.prepare_model(m) for k, m in objective.models.items()}
        self.rates = {k: [g["lr"] for g in o.param_groups] for k, o in objective.optimizers.items()}
        self.uncompiled: dict[str, Any] = {}  # a model's forward where it had one of its own, else None
        self.interrupted: Callable[[], bool] = lambda: False
        self.epoch = self.phase = self.step = 0  # the next step to make
        self.curve: list[dict[str, float]] = []
        self.meter = _Meter()
        self.bar = _Bar(schedule.epochs, accelerator.num_processes, quiet or not accelerator.is_main_process)

    def compile(self) -> None:
        """In place, so that names of weights and what else knows the models stay as they are."""
        for name, prepared in self.models.items():
            self.uncompiled[name] = prepared.__dict__.get("forward")
            prepared.forward = _compiled(prepared.forward)

    def run(
        self,
        evaluate: Callable[[nn.Module], float | Mapping[str, float]] | None,
        evaluate_from: int,
        on_epoch: Callable[[dict[str, float]], None] | None,
    ) -> None:
        for epoch in range(self.epoch, self.schedule.epochs):
            self.bar.begin(epoch)
            for number, phase in enumerate(self.objective.phases(epoch)):
                self.meter.expect(phase.steps)
                if number >= self.phase:
                    self._run_phase(epoch, phase)
                    self.phase, self.step = number + 1, 0
            row = self._row(epoch, evaluate if epoch >= evaluate_from else None)
            self.curve.append(row)
            if on_epoch is not None:
                on_epoch(row)
            self.epoch, self.phase, self.step, self.meter = epoch + 1, 0, 0, _Meter()
            self._save()
            if self.interrupted():
                raise KeyboardInterrupt

    def _run_phase(self, epoch: int, phase: Phase) -> None:
        if phase.steps < 1:
            raise UserError("a phase of training has no steps: give more images or a smaller batch_size")
        model = in_training(self.models[phase.model])
        for batch in phase.batches(self.step):
            torch.manual_seed(
                randomness.derive(self.seed, "step", epoch, self.meter.steps, self.accelerator.process_index)
            )
            self._set_rate(phase, epoch)
            result = phase.loss(model, batch)
            self._update(phase, result.loss)
            self.meter.add(result)
            self.step += 1
            self.bar.advance(len(batch.images), self.meter)
            if self.interrupted() or (self.checkpoint is not None and self.checkpoint.due()):
                self._save()
                if self.interrupted():
                    raise KeyboardInterrupt
        if self.step != phase.steps:
            raise RuntimeError(f"a phase announced {phase.steps} steps and gave {self.step} batches")

    def _set_rate(self, phase: Phase, epoch: int) -> None:
        factor = self.schedule.factor(epoch, self.step, phase.steps)
        groups = self.objective.optimizers[phase.optimizer].param_groups
        for group, rate in zip(groups, self.rates[phase.optimizer], strict=True):
            group["lr"] = rate * factor

    def _update(self, phase: Phase, loss: Tensor) -> None:
        optimizer = self.objective.optimizers[phase.optimizer]
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        if self.clip is not None:
            nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], self.clip)
        optimizer.step()
        if phase.model in self.averages:
            self.averages[phase.model].update(self.objective.models[phase.model])

    def _row(self, epoch: int, evaluate: Callable[[nn.Module], float | Mapping[str, float]] | None) -> dict[str, float]:
        groups = [g["lr"] for o in self.objective.optimizers.values() for g in o.param_groups]
        row: dict[str, float] = {"epoch": epoch + 1, "lr": groups[0], **self.meter.means(epoch, self.accelerator)}
        if evaluate is not None:
            found = evaluate(self.evaluated().eval())
            row |= found if isinstance(found, Mapping) else {"test_accuracy": found}
            self.bar.tell(row["test_accuracy"])
        row["seconds"] = self.meter.seconds()
        return row

    def evaluated(self) -> nn.Module:
        """What is measured and saved."""
        averages = {name: average.model for name, average in self.averages.items()}
        return self.objective.evaluation_model(averages or self.objective.models)

    def _save(self) -> None:
        if self.checkpoint is not None and self.accelerator.is_main_process:
            if self.meter.steps:
                self.meter.means(self.epoch)  # never save what has diverged
            self.checkpoint.save(self.state_dict())

    def state_dict(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "phase": self.phase,
            "step": self.step,
            "curve": self.curve,
            "meter": self.meter.state_dict(),
            "objective": self.objective.state_dict(),
            "averages": {name: average.state_dict() for name, average in self.averages.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.phase, self.step = state["epoch"], state["phase"], state["step"]
        self.curve = state["curve"]
        self.meter.load_state_dict(state["meter"], self.accelerator)
        self.objective.load_state_dict(state["objective"])
        for name, average in self.averages.items():
            average.load_state_dict(state["averages"][name])

    def close(self) -> None:
        """Give the models back as they came, and let go of what Accelerate holds."""
        self.bar.close()
        for name, prepared in self.models.items():
            own = self.uncompiled.get(name)
            if own is not None:
                prepared.forward = own
            elif name in self.uncompiled:
                del prepared.forward
            self.accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)
            self.objective.models[name].__dict__.pop("_is_accelerate_prepared", None)
        self.accelerator._models.clear()


def _compiled(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Through a function of ours: older versions of torch leave a frame of torch.nn itself, ``nn.Sequential``'s say,
    as it is."""

    def call(*inputs: Any, **options: Any) -> Any:
        return forward(*inputs, **options)

    return torch.compile(call)


class _Meter:
    """Sums of the epoch so far, on the device."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps = 0
        self.finite: int | Tensor = 0  # steps before the loss was not: what is not finite stays in its sum
        self.expected = 0
        self.before, self.began = 0.0, time.monotonic()

    def seconds(self) -> float:
        """Spent on this epoch, in this process and in those that were interrupted."""
        return self.before + time.monotonic() - self.began

    def expect(self, steps: int) -> None:
        self.expected += steps

    def add(self, result: Step) -> None:
        for name, value in {"train_loss": result.loss, **result.measures}.items():
            value = value.detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
        self.steps += 1
        self.finite = self.finite + self.sums["train_loss"].isfinite()

    def means(self, epoch: int, accelerator: Accelerator | None = None) -> dict[str, float]:
        """Mean of every measure over the steps so far (of all processes); `UserError` if the loss is not finite."""
        values = torch.stack(list(self.sums.values())) / self.steps
        if accelerator is not None and accelerator.num_processes > 1:
            values = accelerator.reduce(values, reduction="mean")
        means = dict(zip(self.sums, values.tolist(), strict=True))  # pyright: ignore[reportAttributeAccessIssue]
        if not math.isfinite(means["train_loss"]):
            raise UserError(
                f"the loss became {means['train_loss']} in epoch {epoch + 1}, step {self._lost(accelerator)}, and "
                "nothing was saved since: lower lr, add warmup_epochs or clip, or use precision=fp32"
            )
        return means

    def _lost(self, accelerator: Accelerator | None) -> int:
        """The first step of the epoch, from 1, whose loss was not finite in any process."""
        finite = torch.as_tensor(self.finite).reshape(1)
        if accelerator is not None and accelerator.num_processes > 1:
            finite = cast(Tensor, accelerator.gather(finite))
        return int(finite.min()) + 1

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self.sums, "steps": self.steps, "seconds": self.seconds()}

    def load_state_dict(self, state: dict[str, Any], accelerator: Accelerator) -> None:
        self.sums = {name: value.to(accelerator.device) for name, value in state["sums"].items()}
        self.steps, self.finite, self.before = state["steps"], state["steps"], state["seconds"]


class _Bar:
    """One bar for the whole run, in images; it reads the meter, and so waits for the device, once a second."""

    def __init__(self, epochs: int, processes: int, off: bool) -> None:
        # Drawn with the first step, when it knows its length.
        self.bar = tqdm(
            disable=off, unit="img", unit_scale=True, mininterval=1.0, dynamic_ncols=True, leave=True, delay=1e-9
        )
        self.epochs, self.processes = epochs, processes
        self.read = 0.0
        self.test = ""
        self.epoch = 0

    def begin(self, epoch: int) -> None:
        self.epoch = epoch
        self.bar.set_description(f"epoch {epoch + 1}/{self.epochs}", refresh=False)

    def advance(self, images: int, meter: _Meter) -> None:
        if self.bar.disable:
            return
        images *= self.processes
        self.bar.total = self.epochs * meter.expected * images
        if self.bar.n == 0 and (self.epoch or meter.steps > 1):  # resumed
            self.bar.initial = self.bar.n = (self.epoch * meter.expected + meter.steps - 1) * images
        self.bar.update(images)
        if time.monotonic() - self.read >= 1:
            self.read = time.monotonic()
            text = f"loss {float(meter.sums['train_loss']) / meter.steps:.3f}"
            if "train_accuracy" in meter.sums:
                text += f", train {float(meter.sums['train_accuracy']) / meter.steps:.3f}"
            self.bar.set_postfix_str(text + self.test, refresh=False)

    def tell(self, accuracy: float) -> None:
        self.test = f", test {accuracy:.4f}"
        self.bar.set_postfix_str(self.test.removeprefix(", "), refresh=False)

    def close(self) -> None:
        self.bar.close()


@contextmanager
def _own_generators(device: torch.device) -> Iterator[None]:
    """Leave torch's generators as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


@contextmanager
def _interruptible(wanted: bool) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question to be asked between steps; the second interrupts at once."""
    ours = threading.current_thread() is threading.main_thread()
    if not (wanted and ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
        yield lambda: False
        return
    asked: list[int] = []

    def handler(signum: int, _: object) -> None:
        asked.append(signum)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nstopping after this step; press Ctrl-C again to stop at once", file=sys.stderr)

    signal.signal(signal.SIGINT, handler)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
