"""What the verb ``analyse`` is asked for, one class for each word after it. Touches no torch: ``--help`` is quick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UserError


@dataclass(frozen=True)
class AnalyseRuns:
    """Which trained classifiers are looked at side by side, and on which images."""

    runs: tuple[Path, ...]
    """Folders of finished training runs, all of the same data and classes; the first is what the others are compared
    with."""
    data: str | None = None
    """Data source whose images are looked at; left out: the runs' own."""
    split: str = "test"
    """Split whose images are looked at."""
    broken: Literal["stop", "skip"] | None = None
    """Image files that cannot be decoded: stop at the first, or skip them; left out: as the runs."""
    batch_size: int = 256
    """Images at once; bounds the memory, and changes results by rounding alone."""
    seed: int = 0
    """Seed of everything that is drawn; all runs get the same draws."""
    device: str = "auto"
    """auto, cpu, cuda or mps. All is computed in float32."""
    out: Path | None = None
    """Folder for results.json, report.html, pictures/ and what is kept to go on with; left out: the word itself."""
    quiet: bool = False
    """No progress bar."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant, before anything is read."""
        if not self.runs:
            raise UserError("--runs names no run: give the folder of at least one finished augwise train")
        _different("--runs", self.runs)
        at_least("batch_size", self.batch_size, 1)


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


@dataclass(frozen=True)
class AnalyseRobustness:
    """Accuracy under ℓ∞ attacks that see the network itself (white-box) or another one (grey-box, black-box)."""

    on: AnalyseRuns
    """Runs and images."""
    grey: tuple[Path, ...] = ()
    """Runs of the same architecture and another seed: all --runs are shown the images that fool these (grey-box)."""
    black: tuple[Path, ...] = ()
    """Runs of another architecture, likewise (black-box)."""
    attacks: tuple[Literal["fgsm", "pgd"], ...] = ("fgsm", "pgd")
    """fgsm: one step; pgd: many, from a random start."""
    epsilons: tuple[str, ...] = ("1/255", "2/255", "4/255", "8/255")
    """Largest change of a pixel value in [0, 1], as 8/255 or 0.03."""
    steps: int = 20
    """Steps of pgd."""
    alpha: float | None = None
    """Size of a step of pgd, as a share of epsilon; left out: 2.5 / steps, so that the edge can be reached from
    anywhere (Madry et al. 2018)."""
    random_start: bool = True
    """Begin pgd at a random place in the ball, else at the image."""
    limit: int | None = 1000
    """Only this many images, a seeded subset with balanced classes."""
    resamples: int = 2000
    """Resamples of the bootstrap over images."""

    @property
    def step(self) -> float:
        """Size of a step of pgd, as a share of epsilon."""
        return 2.5 / self.steps if self.alpha is None else self.alpha

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        if not self.attacks or not self.epsilons:
            raise UserError("--attacks and --epsilons need at least one value each")
        unknown = [name for name in self.attacks if name not in ("fgsm", "pgd")]
        if unknown:
            raise UserError(f"attack {unknown[0]!r} is unknown: use fgsm or pgd")
        for flag in ("grey", "black"):
            _different(f"--{flag}", getattr(self, flag))
        at_least("steps", self.steps, 1)
        at_least("limit", self.limit, 1)
        at_least("resamples", self.resamples, 100)
        if not 0 < self.step <= 2.5:
            raise UserError(f"--alpha {self.alpha}: give the step as a share of epsilon, above 0 and at most 2.5")


@dataclass(frozen=True)
class AnalyseOod:
    """Whether confidence tells images of no known class from those of a known one: AUPR, AUROC, FPR95."""

    on: AnalyseRuns
    """Runs and the images of known classes."""
    foreign: tuple[str, ...] = ()
    """Images of other things, one or more of: a data source (cifar100, npz:FILE, folder:DIR), images:DIR for all image
    files below a folder, or noise (uniform in every pixel, as many as there are known images). They are resized as the
    runs' own images are."""
    foreign_split: str = "test"
    """Split of a foreign data source."""
    foreign_limit: int | None = None
    """Only this many images of each foreign source."""
    limit: int | None = None
    """Only this many images of known classes."""
    resamples: int = 1000
    """Resamples of the bootstrap over images."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        if not self.foreign:
            raise UserError(
                "--foreign names no images of other things: give cifar100, folder:DIR, images:DIR or noise, say"
            )
        _different("--foreign", self.foreign)
        at_least("foreign_limit", self.foreign_limit, 2)
        at_least("limit", self.limit, 2)
        at_least("resamples", self.resamples, 100)


@dataclass(frozen=True)
class AnalyseNatural:
    """Natural adversarial images in the layouts of ImageNet-A (known classes) and ImageNet-O (of no known class)."""

    on: AnalyseRuns
    """Runs; their own images are the known ones beside --unknown."""
    known: Path | None = None
    """Folder of class folders with hard images of known classes (ImageNet-A): accuracy."""
    unknown: Path | None = None
    """Folder of class folders with images of no known class (ImageNet-O; the folders name the known classes that they
    resemble): AUPR against the runs' own images of those classes. Files without class folders are taken against all."""
    mapping: Path | None = None
    """JSON file of {"folder name": "class name of the runs"} for the class folders of both (a number counts the runs'
    classes from 0); or, for runs on imagenet or tiny-imagenet, the folder of that set, which has a name for every
    WordNet id; left out: the folders have the classes' names."""
    limit: int | None = None
    """Only this many of the runs' own images."""
    resamples: int = 1000
    """Resamples of the bootstrap over images."""
    bins: int = 15
    """Bins of the calibration error."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        if self.known is None and self.unknown is None:
            raise UserError("give --known, --unknown or both: folders such as imagenet-a and imagenet-o")
        at_least("limit", self.limit, 2)
        at_least("resamples", self.resamples, 100)
        at_least("bins", self.bins, 1)


@dataclass(frozen=True)
class AnalyseCalibration:
    """How far confidence can be believed: calibration errors of several kinds, reliability, temperature."""

    on: AnalyseRuns
    """Runs and images."""
    bins: int = 15
    """Bins of confidence."""
    limit: int | None = None
    """Only this many images, a seeded subset with balanced classes."""
    resamples: int = 1000
    """Resamples of the bootstrap over images, for the interval of the expected error."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        at_least("bins", self.bins, 1)
        at_least("limit", self.limit, 2)
        at_least("resamples", self.resamples, 100)


@dataclass(frozen=True)
class FinishedRuns:
    """Which training runs are read; their networks are not."""

    runs: tuple[Path, ...]
    """Folders of finished training runs, of as many settings, seeds and data sets as wanted. Of each data set the
    plainest runs, with the fewest unusual settings, are what the others are compared with."""
    out: Path | None = None
    """Folder for results.json, report.html and pictures/; left out: the word itself."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        if not self.runs:
            raise UserError("--runs names no run: give the folder of at least one finished augwise train")
        _different("--runs", self.runs)


@dataclass(frozen=True)
class AnalyseCurves:
    """How fast training converges and where it ends: runs that differ in seed alone are one arm, with its mean curve,
    its gain, paired by seed, and, where arms differ in one number alone, how much hangs on it."""

    on: FinishedRuns
    """Runs."""
    pictures: Path | None = None
    """Folder of augwise analyse farther, whose pictures and numbers end the page."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()


@dataclass(frozen=True)
class AnalyseFarther:
    """What LP-A3 makes of images beside RandAugment: how far it goes, whether labels are kept, where the classifier
    looks."""

    on: AnalyseRuns
    """Runs and images."""
    form: Literal["lagrangian", "tangent"] = "lagrangian"
    """LP-A3's steps: the paper's, or this project's, which go as far in half the time."""
    margins: tuple[float, ...] = (0.002, 0.02, 0.1, 0.5)
    """Margins (nats) of LP-A3; pictures are of the middle one."""
    num_ops: int = 2
    """Operations of RandAugment."""
    magnitude: int = 9
    """Their strength, of 30."""
    layers: tuple[str, ...] = ()
    """Layers whose features tell the distance; left out: where the network's stages end."""
    layer: str | None = None
    """Layer whose Grad-CAM is drawn; left out: the last feature map."""
    limit: int | None = 256
    """Only this many images, a seeded subset with balanced classes."""
    shown: int = 6
    """Images in the pictures, each of another class."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        if not self.margins or not all(margin > 0 for margin in self.margins):
            raise UserError(f"--margins {' '.join(map(str, self.margins))}: give numbers above 0, such as 0.02")
        _different("--margins", self.margins)
        at_least("num_ops", self.num_ops, 1)
        if not 0 <= self.magnitude <= 30:
            raise UserError(f"--magnitude {self.magnitude}: give 0 to 30")
        at_least("limit", self.limit, 2)
        at_least("shown", self.shown, 1)


@dataclass(frozen=True)
class AnalyseCam:
    """Where several networks look in the same images: class activation maps of the label side by side (IPF-RDA,
    Fig. 6)."""

    on: AnalyseRuns
    """Runs and images."""
    maps: Path | None = None
    """Store of importance maps of these images: how much of each activation map lies on the most important pixels."""
    share: float = 0.2
    """Share of an image's pixels that count as its most important ones, with --maps."""
    layer: str | None = None
    """Layer whose feature map is looked at; left out: the last one."""
    limit: int | None = 256
    """Only this many images, a seeded subset with balanced classes."""
    shown: int = 6
    """Images in the pictures, each of another class."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        if not 0 < self.share < 1:
            raise UserError(f"--share {self.share}: give a share of the pixels between 0 and 1, such as 0.2")
        at_least("limit", self.limit, 2)
        at_least("shown", self.shown, 1)


@dataclass(frozen=True)
class AnalyseEmbedding:
    """How well a network's features keep the classes apart: Dunn index, silhouette, and t-SNE (IPF-RDA, Fig. 4)."""

    on: AnalyseRuns
    """Runs and images."""
    perplexity: float = 30.0
    """How many neighbours t-SNE tries to keep near, about; fewer than there are images."""
    limit: int | None = 1000
    """Only this many images, a seeded subset with balanced classes."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        if not 1 <= self.perplexity < float("inf"):
            raise UserError(f"--perplexity {self.perplexity}: give a number of neighbours, 1 or more, such as 30")
        at_least("limit", self.limit, 3)


@dataclass(frozen=True)
class AnalyseGradients:
    """How much an attack changes the gradient that saliency maps are made of (IPF-RDA, Fig. 5, Eq. 3 and 4)."""

    on: AnalyseRuns
    """Runs and images; the paper's are those of --split train."""
    attack: Literal["fgsm", "pgd"] = "pgd"
    """fgsm: one step; pgd: many, from a random start."""
    epsilons: tuple[str, ...] = ("1/255", "8/255")
    """Largest change of a pixel value in [0, 1], as 8/255 or 0.03."""
    steps: int = 20
    """Steps of pgd."""
    alpha: float | None = None
    """Size of a step of pgd, as a share of epsilon; left out: 2.5 / steps."""
    random_start: bool = True
    """Begin pgd at a random place in the ball, else at the image."""
    bound: bool = True
    """Also what Eq. 3 and 4 say, which takes a backward pass for every class."""
    limit: int | None = 1000
    """Only this many images, a seeded subset with balanced classes."""

    @property
    def step(self) -> float:
        """Size of a step of pgd, as a share of epsilon."""
        return 2.5 / self.steps if self.alpha is None else self.alpha

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        if self.attack not in ("fgsm", "pgd"):
            raise UserError(f"attack {self.attack!r} is unknown: use fgsm or pgd")
        if not self.epsilons:
            raise UserError("--epsilons needs at least one value, such as 8/255")
        _different("--epsilons", self.epsilons)
        at_least("steps", self.steps, 1)
        at_least("limit", self.limit, 1)
        if not 0 < self.step <= 2.5:
            raise UserError(f"--alpha {self.alpha}: give the step as a share of epsilon, above 0 and at most 2.5")


Analysis = (
    AnalyseLandscape
    | AnalyseHessian
    | AnalyseNoise
    | AnalyseRobustness
    | AnalyseOod
    | AnalyseNatural
    | AnalyseCalibration
    | AnalyseFarther
    | AnalyseCam
    | AnalyseEmbedding
    | AnalyseGradients
    | AnalyseCurves
)


def word(config: Analysis) -> str:
    """The word after ``augwise analyse``."""
    return type(config).__name__.removeprefix("Analyse").lower()


def at_least(name: str, value: float | None, least: int) -> None:
    """Raise `UserError` for a number below ``least``."""
    if value is not None and value < least:
        raise UserError(f"--{name.replace('_', '-')} {value}: give at least {least}")


def _different(flag: str, given: tuple[str, ...] | tuple[float, ...] | tuple[Path, ...]) -> None:
    known = [entry.resolve() if isinstance(entry, Path) else entry for entry in given]
    twice = [entry for entry in known if known.count(entry) > 1]
    if twice:
        raise UserError(f"{flag} names {twice[0]} twice: give each once")
