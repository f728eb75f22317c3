"""Encoders of the sparse attack: from a perturbation to one number per pixel, one private network per image.

The attack trains a network per image for about a hundred steps. Here a whole batch of such networks is kept in closed
form, so that the training costs little beside the classifier's own passes. Touches nothing but tensors.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from .. import randomness
from .history import CompactHistory, FullHistory

Kept = Literal["full", "compact"]


class Encoder(ABC):
    """One network per image, F: (C, H, W) -> (H, W), each trained on its own image alone.

    A step is ``forward``, ``backward``, ``step`` in this order; ``forward`` alone may be called between two steps.
    """

    @abstractmethod
    def forward(self, delta: Tensor) -> Tensor:
        """F_t(delta): (B, C, H, W) -> (B, H, W)."""

    @abstractmethod
    def backward(self, grad: Tensor) -> Tensor:
        """The gradient that reaches the input of the last ``forward``, (B, H, W) -> (B, C, H, W); keeps what ``step``
        needs."""

    @abstractmethod
    def step(self) -> None:
        """One SGD step of every image's network with the gradient of the last ``backward``."""

    @abstractmethod
    def restart(self, rows: Tensor) -> None:
        """The networks of these rows of the batch, (n,) int64 on its device, begin anew, from their initial weights.

        After ``step`` and before the next ``forward``: an image has left, and another one takes its place.
        """

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Only these rows of the batch, (n,) int64 on its device, go on, in this order. After ``step``, likewise."""


def sgd_response(steps: int, lr: float, momentum: float, weight_decay: float) -> tuple[Tensor, Tensor]:
    """How SGD answers: w_t = decay[t] * w_0 + sum over s < t of response[t - s] * g_s, for gradients g_0, g_1, ...

    SGD with momentum and weight decay (no dampening, no Nesterov, constant rate, as `torch.optim.SGD`) is linear in the
    gradients of the loss: v <- momentum v + g + weight_decay w, w <- w - lr v. So a weight without gradients
    (``decay``) and the trace of a single unit gradient (``response``) say everything.

    Returns two (steps + 1,) float64 tensors; decay[0] = 1, response[0] = 0, response[1] = -lr.
    """

    def run(w: float, first_gradient: float) -> Tensor:
        v, trace = 0.0, [w]
        for t in range(steps):
            v = momentum * v + (first_gradient if t == 0 else 0.0) + weight_decay * w
            w = w - lr * v
            trace.append(w)
        return torch.tensor(trace, dtype=torch.float64)

    return run(1.0, 0.0), run(0.0, 1.0)


@lru_cache(maxsize=2)
def initial_linear(
    channels: int, height: int, width: int, seed: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """W_0 (H W, C H W) and b_0 (H W,), both U(-c, c), c = 1/sqrt(C H W): PyTorch's initialisation of a linear layer.

    Drawn in float64 on the CPU, then converted: the same numbers for every dtype and device. Kept for the next batch.
    """
    pixels, fan_in = height * width, channels * height * width
    generator = randomness.generator(seed, "linear encoder", channels, height, width)
    bound = 1 / math.sqrt(fan_in)
    draws = torch.empty(pixels, fan_in + 1, dtype=torch.float64).uniform_(-bound, bound, generator=generator)
    draws = draws.to(device=device, dtype=dtype)
    return draws[:, :fan_in].contiguous(), draws[:, fan_in].contiguous()


class LowRankLinear(Encoder):
    """One fully connected layer C H W -> H W per image, trained by SGD, without ever storing a weight matrix per image.

    The loss reaches the layer's output h_s as u_s, so the gradient of its weights is the outer product u_s delta_s^T
    and that of its bias is u_s. With ``decay`` a and ``response`` r of `sgd_response`,

        W_t = a_t W_0 + sum over s < t of r_{t-s} u_s delta_s^T,        b_t = a_t b_0 + sum over s < t of r_{t-s} u_s,

    exactly. W_0 and b_0 are shared by all images, so a step takes one matrix product for the batch and four products
    with the image's own short history, U (t, H W) and D (t, C H W):

        F_t(delta) = a_t (W_0 delta + b_0) + U^T (r * (D delta + 1)),    W_t^T u = a_t W_0^T u + D^T (r * (U u)).

    Images may begin at different steps (`restart`): the history is a ring over the steps of the batch, a_t is each
    image's own, and r depends on how long ago a step was, which is the same for all.

    Memory: steps * (C + 1) * H * W numbers per image instead of two matrices of C * (H W)^2; see `bytes_per_image`.

    shape: (B, C, H, W) of the perturbations; steps: the most ``step`` calls of an image; seed: of W_0 and b_0.
    history: "full" keeps D and U as they are; "compact" keeps D in 8 bits and U in 16, in (C + 2) / (4 C + 4) of the
        memory, see `CompactHistory`. limit: the largest |delta|, which "compact" must know. Over 100 steps of CDIEA
        the output F(delta) of "compact" was off by at most 0.04 % of its largest value where delta is a multiple of
        1/255, and 0.3 % elsewhere; the gradient by 0.1 % (32 px, small CNN, 48 images). The points then share 91 %
        with those of "full" (intersection over union), 69 % being what other first weights leave. A step of the
        encoder takes 1.1 to 1.5 times as long on a CPU.
    """

    def __init__(
        self,
        shape: torch.Size,
        steps: int,
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        seed: int,
        dtype: torch.dtype,
        device: torch.device,
        history: Kept = "full",
        limit: float = 1.0,
    ) -> None:
        batch, channels, height, width = self.shape = shape
        self.weight, self.bias = initial_linear(channels, height, width, seed, dtype, device)
        decay, response = sgd_response(steps, lr, momentum, weight_decay)
        self.decay = decay.to(device=device, dtype=dtype)[:, None]
        # Place k of the ring holds what was written 1 + (-1 - k) mod steps steps ago when step 0 is to be written next;
        # twice in a row, so that the view from any other step is a slice.
        self.response = response[1:].flip(0).to(device=device, dtype=dtype).repeat(2)
        self.steps = steps
        self.age = torch.zeros(batch, dtype=torch.int64, device=device)
        sizes = (batch, steps, channels * height * width, height * width, self.weight)
        self.history = FullHistory(*sizes) if history == "full" else CompactHistory(*sizes, limit)

    def _seen(self) -> tuple[Tensor, Tensor]:
        """a_t of each image (B, 1), and r for every place of the history that holds something."""
        filled, turn = self.history.filled, -self.history.written % self.steps
        return self.decay[self.age], self.response[turn : turn + filled]

    def forward(self, delta: Tensor) -> Tensor:
        self._delta = delta.flatten(1)
        decay, response = self._seen()
        out = torch.addmm(self.bias, self._delta, self.weight.T).mul_(decay)
        for rows, deltas, grads in self.history.blocks():
            share = torch.bmm(self._delta[rows, None], deltas.mT).add_(1).mul_(response)  # (b, 1, t); a row is faster
            out[rows] += torch.bmm(share, grads)[:, 0]
        return out.view(-1, *self.shape[2:])

    def backward(self, grad: Tensor) -> Tensor:
        self._grad = grad.flatten(1)
        decay, response = self._seen()
        out = torch.mm(self._grad, self.weight).mul_(decay)
        for rows, deltas, grads in self.history.blocks():
            share = torch.bmm(self._grad[rows, None], grads.mT).mul_(response)
            out[rows] += torch.bmm(share, deltas)[:, 0]
        return out.view(-1, *self.shape[1:])

    def step(self) -> None:
        self.history.write(self._delta, self._grad)
        self.age.add_(1).clamp_(max=self.steps)  # an image that is past its steps may stand idle in the batch

    def restart(self, rows: Tensor) -> None:
        self.age.index_fill_(0, rows, 0)
        self.history.forget(rows)

    def keep(self, rows: Tensor) -> None:
        self.age = self.age[rows]
        self.history.keep(rows)

    @staticmethod
    def bytes_per_image(channels: int, height: int, width: int, steps: int, history: Kept, dtype: torch.dtype) -> int:
        """Memory of the history of one image; W_0, C (H W)^2 numbers, is there once for all."""
        form = FullHistory if history == "full" else CompactHistory
        return form.bytes(steps, channels * height * width, height * width, dtype)
