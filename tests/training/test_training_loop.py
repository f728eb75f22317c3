"""The loop over phases: turns, clipping, averages, resume at every step, Ctrl-C, divergence."""

import copy
import itertools
import math
import os
import signal

import pytest
import torch
from torch import nn

from augwise.errors import UserError
from augwise.sample import Batch
from augwise.training.checkpoint import Checkpoint
from augwise.training.devices import accelerator_for
from augwise.training.loop import fit
from augwise.training.objectives.base import Objective, Phase, Step
from augwise.training.optimizers import Schedule
from reference.training_toys import TakingTurns, network, weights


def _fit(objective, epochs=2, **options):
    return fit(
        objective, accelerator_for("cpu", options.pop("precision", "fp32")), Schedule(epochs), quiet=True, **options
    )


def test_phases_alternate_and_each_optimizer_moves_its_own_model_alone():
    objective = TakingTurns()
    fitted = _fit(objective)
    assert [name for name, *_ in objective.seen] == ["a", "a", "a", "b", "b"] * 2
    states = [*objective.seen, ("end", *(weights(m) for m in objective.models.values()))]
    for (name, a, b), (_, next_a, next_b) in itertools.pairwise(states):
        assert torch.equal(a, next_a) == (name == "b")
        assert torch.equal(b, next_b) == (name == "a")
    assert fitted.model is objective.models["b"]
    assert [row["epoch"] for row in fitted.curve] == [1, 2]
    assert all(row["b_loss"] > 0 for row in fitted.curve)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_stopped_before_any_step_it_resumes_to_the_same_bytes(tmp_path, ema):
    whole = TakingTurns()
    expected = _fit(whole, ema=ema)
    for stop in range(1, 10):
        path = tmp_path / f"{stop}.pt"
        with pytest.raises(InterruptedError):
            _fit(TakingTurns(stop), ema=ema, checkpoint=Checkpoint(path, every_steps=1))
        resumed = TakingTurns()
        torch.manual_seed(stop)  # the state of torch's generators must not matter
        fitted = _fit(resumed, ema=ema, checkpoint=Checkpoint(path, every_steps=1))
        assert resumed.losses == 10 - stop
        for name in "ab":
            assert torch.equal(weights(resumed.models[name]), weights(whole.models[name])), (stop, name)
        assert torch.equal(weights(fitted.model), weights(expected.model))
        for row, other in zip(fitted.curve, expected.curve, strict=True):
            assert {k: v for k, v in row.items() if k != "seconds"} == {
                k: v for k, v in other.items() if k != "seconds"
            }


class Plain(Objective):
    """One network on given batches with a given loss."""

    def __init__(self, model, optimizer, batches, loss=None):
        super().__init__({"model": model}, {"optimizer": optimizer})
        self.batches = batches
        self.given = loss

    def phases(self, epoch):  # noqa: ARG002
        yield Phase("model", "optimizer", len(self.batches), lambda start: iter(self.batches[start:]), self.loss)

    def loss(self, model, batch):
        if self.given is not None:
            self.given()
        logits = model(batch.images.as_subclass(torch.Tensor))
        return Step(nn.functional.cross_entropy(logits, batch.labels), {})


def _batches(n=4):
    g = torch.Generator().manual_seed(2)
    return [Batch.of(torch.randn(5, 3, 8, 8, generator=g), torch.tensor([0, 2, 1, 1, 0])) for _ in range(n)]


@pytest.mark.parametrize("clip", [None, 0.3])
def test_sgd_with_schedule_and_clipping_equals_manual_steps(clip):
    model = network(dropout=0)
    manual = copy.deepcopy(model)
    _fit(
        Plain(
            model, torch.optim.SGD(model.parameters(), 0.2, momentum=0.9, nesterov=True, weight_decay=0.01), _batches()
        ),
        epochs=3,
        clip=clip,
    )

    momentum = [torch.zeros_like(p) for p in manual.parameters()]
    factor = Schedule(3).factor
    for epoch in range(3):
        for step, batch in enumerate(_batches()):
            manual.zero_grad()
            nn.functional.cross_entropy(manual(batch.images.as_subclass(torch.Tensor)), batch.labels).backward()
            grads = [p.grad.clone() for p in manual.parameters()]
            if clip is not None:
                norm = torch.sqrt(sum(g.square().sum() for g in grads))
                grads = [g * min(1.0, clip / (norm.item() + 1e-6)) for g in grads]
            with torch.no_grad():
                for p, g, m in zip(manual.parameters(), grads, momentum, strict=True):
                    g = g + 0.01 * p
                    m.mul_(0.9).add_(g)
                    p -= 0.2 * factor(epoch, step, 4) * (g + 0.9 * m)
    torch.testing.assert_close(weights(model), weights(manual), rtol=1e-4, atol=1e-6)


def test_average_is_evaluated_and_follows_its_closed_form():
    model = network(dropout=0)
    history = []
    objective = Plain(model, torch.optim.SGD(model.parameters(), 0.1), _batches())
    objective.given = lambda: history.append(weights(model))
    start = weights(model)
    accuracies = []
    fitted = _fit(objective, epochs=2, ema=0.3, evaluate=lambda m: accuracies.append(m) or 0.5)
    assert all(m is fitted.model and m is not model for m in accuracies)
    after = [*history[1:], weights(model)]
    expected = start
    for t, w in enumerate(after):
        d = min(0.3, (1 + t) / (10 + t))
        expected = d * expected + (1 - d) * w
    torch.testing.assert_close(weights(fitted.model), expected)


def test_model_is_given_back_as_it_came():
    model = network()
    forward, state = model.forward, torch.get_rng_state()
    _fit(Plain(model, torch.optim.SGD(model.parameters(), 0.1), _batches()), epochs=1, precision="bf16")
    assert model.forward == forward
    assert not hasattr(model, "_is_accelerate_prepared")
    assert torch.equal(torch.get_rng_state(), state)


def test_compiled_it_learns_the_same_and_is_given_back(monkeypatch):
    """By a compiler that counts what it is given and runs it as it is: what inductor makes of it is torch's affair."""
    compiled = []
    real = torch.compile

    def counted(function, **options):
        def backend(graph, inputs):  # noqa: ARG001
            compiled.append(graph)
            return graph

        return real(function, backend=backend, **options)

    plain, other = network(), network()
    batches = _batches()
    _fit(Plain(plain, torch.optim.SGD(plain.parameters(), 0.1), batches), epochs=2)
    monkeypatch.setattr(torch, "compile", counted)
    names = list(other.state_dict())
    _fit(Plain(other, torch.optim.SGD(other.parameters(), 0.1), batches), epochs=2, compile=True)
    assert compiled
    assert torch.equal(weights(plain), weights(other))
    assert list(other.state_dict()) == names
    assert "forward" not in other.__dict__


def test_bf16_computes_in_bf16_and_keeps_weights_in_float32():
    seen = []
    model = network()
    model[0].register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    _fit(Plain(model, torch.optim.SGD(model.parameters(), 0.1), _batches()), epochs=1, precision="bf16")
    assert set(seen) == {torch.bfloat16}
    assert weights(model).dtype == torch.float32


def test_divergence_is_told_and_never_saved(tmp_path):
    model = network()
    path = tmp_path / "c.pt"
    objective = Plain(model, torch.optim.SGD(model.parameters(), 1e20), _batches())
    with pytest.raises(UserError, match=r"loss became (nan|inf) in epoch \d+, step \d+, .*: lower lr"):
        _fit(objective, epochs=5, checkpoint=Checkpoint(path, every_steps=1))
    saved = Checkpoint(path).load()
    assert saved is not None
    assert all(torch.isfinite(v).all() for v in saved["meter"]["sums"].values())


def test_divergence_names_the_first_step_without_a_finite_loss(tmp_path):
    class Late(Plain):
        steps = 0

        def loss(self, model, batch):
            self.steps += 1
            result = super().loss(model, batch)
            return result._replace(loss=result.loss * (math.nan if self.steps == 4 + 3 else 1.0))

    model = network()
    path = tmp_path / "c.pt"
    objective = Late(model, torch.optim.SGD(model.parameters(), 0.1), _batches())
    with pytest.raises(UserError, match="nan in epoch 2, step 3, and nothing was saved since"):
        _fit(objective, epochs=2, checkpoint=Checkpoint(path, every_steps=1))
    saved = Checkpoint(path).load()
    assert saved is not None
    assert (saved["epoch"], saved["step"]) == (1, 2)
    assert weights(model).isfinite().sum() == 0  # what is kept is of before


def test_ctrl_c_ends_the_step_saves_and_is_passed_on(tmp_path):
    def run(press):
        model = network()
        objective = Plain(model, torch.optim.SGD(model.parameters(), 0.1), _batches())
        count = []

        def loss():
            count.append(1)
            if press and len(count) == 6:
                os.kill(os.getpid(), signal.SIGINT)

        objective.given = loss
        try:
            _fit(objective, epochs=3, checkpoint=Checkpoint(tmp_path / f"{press}.pt"))
        except KeyboardInterrupt:
            assert len(count) == 6
            assert Checkpoint(tmp_path / f"{press}.pt").load()["step"] == 2
            return run(False)
        return weights(model)

    interrupted = run(True)
    (tmp_path / "False.pt").unlink()
    assert torch.equal(interrupted, run(False))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_phase_without_steps_is_refused():
    model = network()
    with pytest.raises(UserError, match="no steps"):
        _fit(Plain(model, torch.optim.SGD(model.parameters(), 0.1), []))


def test_a_phase_that_announces_other_steps_than_it_gives_is_a_fault():
    model = network()
    objective = Plain(model, torch.optim.SGD(model.parameters(), 0.1), _batches(2))
    objective.phases = (
        lambda epoch: iter(  # noqa: ARG005
            [Phase("model", "optimizer", 3, lambda start: iter(objective.batches[start:]), objective.loss)]
        )
    )
    with pytest.raises(RuntimeError, match="announced 3 steps and gave 2"):
        _fit(objective)
