"""Questions of the verb ``analyse`` about the loss around the trained weights. Touches no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import UserError
from .analyse_on import AnalyseRuns, at_least


@dataclass(frozen=True)
class AnalyseLandscape:
    """The loss around the trained weights, along two directions and over the plane that they span."""

    on: AnalyseRuns
    """Runs and images."""
    directions: Literal["hessian", "random"] = "hessian"
    """hessian: the two directions of steepest curvature, steps in units of the weights (DCutMix, by PyHessian).
    random: Gaussian, each filter scaled to the norm of the network's own (Li et al. 2018), steps in units of that."""
    radius: float | None = None
    """How far to walk to both sides; left out: 0.5 along the Hessian's directions, 1 along random ones."""
    points: int = 31
    """Points of each line; odd, so that the trained weights are the middle one."""
    grid: int = 17
    """Points of the surface along each side, odd; 0 for lines alone."""
    steps: int = 60
    """With --directions hessian: most products with the Hessian that are spent on them."""
    limit: int | None = 1000
    """Only this many images, a seeded subset with balanced classes."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        if self.radius is not None and not self.radius > 0:
            raise UserError(f"--radius {self.radius}: give how far to walk, above 0")
        for name, value, least in (("points", self.points, 3), ("grid", self.grid, 3)):
            if (value or name == "points") and (value < least or value % 2 == 0):
                raise UserError(
                    f"--{name} {value}: give an odd number from {least} on, so that the weights are its middle"
                )
        at_least("steps", self.steps, 2)
        at_least("limit", self.limit, 1)


@dataclass(frozen=True)
class AnalyseHessian:
    """How curved the loss is at the trained weights: largest eigenvalues of its Hessian, trace and spectral density."""

    on: AnalyseRuns
    """Runs and images."""
    top: int = 5
    """How many of the largest eigenvalues; 0 for none."""
    solver: Literal["lanczos", "power"] = "lanczos"
    """lanczos: the largest eigenvalues, keeping up to --steps vectors as large as the network. power: those of largest
    magnitude by power iteration with deflation, more products, keeping --top vectors alone."""
    tolerance: float = 0.01
    """An eigenvalue counts as found when ‖Hv − λv‖ is at most this share of it."""
    steps: int = 60
    """Most products with the Hessian for the largest eigenvalues (power: for each of them)."""
    probes: int = 3
    """Random vectors for trace and density, by stochastic Lanczos quadrature; 0 for none."""
    probe_steps: int = 60
    """Steps of Lanczos for each of them: nodes of its quadrature."""
    limit: int | None = 1000
    """Only this many images, a seeded subset with balanced classes: the Hessian is that of their mean loss."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        for name in ("top", "probes"):
            at_least(name, getattr(self, name), 0)
        for name in ("steps", "probe_steps"):
            at_least(name, getattr(self, name), 2)
        at_least("limit", self.limit, 1)
        if not 0 < self.tolerance < 1:
            raise UserError(f"--tolerance {self.tolerance}: give a share between 0 and 1, such as 0.01")
        if not self.top and not self.probes:
            raise UserError("--top 0 and --probes 0 leave nothing to compute: give one of them")
        if self.solver == "lanczos" and self.top >= self.steps:
            raise UserError(f"--top {self.top} eigenvalues need more than --steps {self.steps}: give more steps")


@dataclass(frozen=True)
class AnalyseNoise:
    """Loss and accuracy when Gaussian noise is added to all weights."""

    on: AnalyseRuns
    """Runs and images."""
    sigmas: tuple[float, ...] = (0.0025, 0.005, 0.01, 0.02, 0.04)
    """Standard deviations of the noise; none is always measured too."""
    scale: Literal["absolute", "filter"] = "absolute"
    """absolute: the same for every weight (DCutMix). filter: a filter's noise has --sigmas times the filter's own norm,
    and biases and normalisations have none, so that scaling filters, which changes no output, changes no result."""
    draws: int = 10
    """Draws of the noise for each sigma."""
    limit: int | None = 2000
    """Only this many images, a seeded subset with balanced classes."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        wrong = [sigma for sigma in self.sigmas if not 0 <= sigma < float("inf")]
        if wrong or not self.sigmas:
            raise UserError(f"--sigmas {wrong[0] if wrong else ''}: give standard deviations, 0 or more")
        at_least("draws", self.draws, 1)
        at_least("limit", self.limit, 1)
