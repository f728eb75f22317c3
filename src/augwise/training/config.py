"""One object per verb for the command line and for Python: what is trained or evaluated, on what, and how.

Touches no torch, so that ``--help`` answers at once. The line under each field is what the help shows. What is
augmented is not here: `train` takes augmentations and mixers as objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import UserError
from .learn_config import LearnConfig

Precision = Literal["auto", "fp32", "bf16"]
ImageSize = int | tuple[int, int]
"""Side of a centre square, or height and width that whole images are stretched to."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run. The same configuration and data give the same weights, however often the run is interrupted."""

    # what
    data: str = "digits"
    """Data source: digits, npz:FILE, folder:DIR or medmnist:NAME, or mnist, svhn, cifar10, cifar100, stl10,
    tiny-imagenet, flowers102, imagenet, or with objective=reid market1501, cuhk03, cuhk03-labeled or digit-people, each
    also as NAME:DIR."""
    split: str = "train"
    """Split that is trained on."""
    eval_split: str = "test"
    """Split whose accuracy is measured after each epoch."""
    val_share: float = 0.0
    """Above 0: set this share of the training data aside (seeded, per class) and measure on it; use it to choose
    anything, and leave the test split for the final number."""
    subset: Path | None = None
    """Only the images that this file names, which augwise select wrote for this data and split; val_share and limit cut
    from those."""
    redraw: bool = False
    """With a subset: draw as many images anew in every epoch, of all of the split, likelier the higher they scored, and
    weigh their losses so that the expectation is that of training on all."""
    limit: int | None = None
    """Train on this many images only, a seeded subset with balanced classes."""
    eval_limit: int | None = None
    """Measure on this many images only."""
    eval_last: int | None = None
    """Measure only after each of this many last epochs, which saves time; left out: after every epoch."""
    size: ImageSize | None = None
    """Resize images to this many pixels a side, or stretch them to height and width (--size 256 128); needed where
    files differ in size. With crop=resized the side of what the model sees; left out: what the published weights want
    that the run starts from."""
    broken: Literal["stop", "skip"] = "stop"
    """Image files that cannot be decoded: stop at the first, or check all files first and leave such out."""
    data_seed: int = 0
    """Seed of limit and val_share; kept apart from seed, so that runs that differ in seed see the same images."""
    model: str = "small_cnn"
    """small_cnn, resnet18, wrn28_10 and more for small images (a wrong name lists all), reid_resnet50, reid_fpb or
    reid_small for re-identification, timm:NAME or torchvision:NAME; always with a new head. Or a searched network,
    darts:FILE with the genotype.json of augwise search, or darts:pc_darts_cifar10: 36 channels, 20 cells;
    darts_c16_l8:FILE: 16 and 8; darts_imagenet:FILE for 224 px."""
    pretrained: bool = False
    """Start from the ImageNet weights that timm or torchvision offers (needs the network once)."""
    checkpoint: Path | None = None
    """Start from the weights in this file (safetensors, or a torch file of plain tensors); a head for another number
    of classes is replaced by a new one."""
    only_head: bool = False
    """Train the last layer alone (linear probing): all others keep the weights and statistics that they start with."""

    # how long, how large
    epochs: int = 20
    """Passes over the training data."""
    batch_size: int = 128
    """Images per step, over all processes together; the incomplete last batch of an epoch is left out."""

    # from what
    learn: LearnConfig = field(default_factory=LearnConfig)
    """Objective, labels and LP-A3."""

    # optimiser
    optimizer: Literal["sgd", "adamw", "adam"] = "sgd"
    """sgd is with Nesterov momentum; adam adds the weight decay to the gradient."""
    lr: float | None = None
    """Highest learning rate; left out: 0.1 for sgd, 0.001 for adamw and adam."""
    momentum: float = 0.9
    """Momentum of sgd."""
    weight_decay: float | None = None
    """Weight decay; left out: 5e-4 for sgd and adam, 0.05 for adamw."""
    schedule: Literal["cosine", "cosine_7_16", "steps"] = "cosine"
    """cosine falls to zero over the run, cosine_7_16 to a fifth, as in FixMatch; steps multiplies by gamma at each
    milestone. All count single steps."""
    warmup_epochs: float = 0.0
    """The learning rate rises linearly during these epochs."""
    warmup_from: float = 0.0
    """Share of the highest learning rate at which it begins to rise; re-identification usually takes 0.1."""
    milestones: tuple[int, ...] = ()
    """Epochs at whose beginning the steps schedule lowers the learning rate."""
    gamma: float = 0.2
    """Factor of the steps schedule."""
    label_smoothing: float = 0.0
    """Share of the label that is spread evenly over all classes."""
    auxiliary: float | None = None
    """Of a searched network (model=darts:...), what its auxiliary head's loss counts in training; left out: 0.4."""
    drop_path: float | None = None
    """Of a searched network, how probably an operation is dropped for an image, rising linearly to this at the end;
    left out: 0.3, and 0 in the shape for 224 px."""
    clip: float | None = None
    """Largest norm of the gradient; a longer one is scaled down to it."""
    ema: float = 0.0
    """Above 0: measure and save an exponential moving average of the weights with this decay per step, as 0.999."""

    # augmentation that every arm of a comparison shares
    crop: Literal["pad", "resized"] = "pad"
    """pad: a random crop out of the padded image, for small images. resized: a box of random area and aspect, resized
    to size, for photographs of any size; measured on the centre crop."""
    crop_padding: int = 4
    """With crop=pad: by how many pixels; 0 for no crop."""
    crop_scale: tuple[float, float] = (0.08, 1.0)
    """With crop=resized: smallest and largest area of the box, as shares of the image."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """With crop=resized: smallest and largest aspect of the box, width over height."""
    crop_share: float | None = None
    """With crop=resized: share of the shorter side that the measured centre crop shows; left out: what the published
    weights want that the run starts from, else 0.875."""
    interpolation: Literal["bilinear", "bicubic"] | None = None
    """With crop=resized: of all resizing; left out: as crop_share, else bilinear."""
    resident_size: int | None = None
    """With crop=resized and loader=resident: side of the squares in which whole images wait on the device; left out:
    size / 0.875."""
    flip: bool | None = None
    """Random horizontal flip; left out: what the data source says of itself (digits are not flipped)."""
    mean: tuple[float, ...] | None = None
    """Mean of each channel for normalisation, in [0, 1]; left out: what the timm or torchvision weights want that the
    run starts from, else measured on the training data."""
    std: tuple[float, ...] | None = None
    """Standard deviation of each channel, as mean."""

    # machine
    seed: int = 0
    """Seed of weights, order, augmentation and dropout."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    precision: Precision = "auto"
    """fp32 or bf16 (mixed); auto is bf16 on CUDA, else fp32. bf16 pays only where the device computes in it: processors
    that imitate it take ten times as long."""
    channels_last: bool = True
    """Keep images as (N, H, W, C) in memory, which convolutions like best."""
    compile: bool = False
    """Compile the network (torch.compile): a minute at the beginning, faster steps after it; for GPUs."""
    threads: int | None = None
    """Threads torch computes with on the CPU; left out: as torch is set, less num_workers."""
    loader: Literal["resident", "workers"] = "resident"
    """resident holds all images on the device; workers reads each batch anew, for data that does not fit."""
    num_workers: int = 0
    """Processes that read images (loader=workers); 0 is best on a CPU that also trains."""

    # result
    out: Path | None = Path("run")
    """Folder for results.json, curve.csv, weights and the checkpoint of an unfinished run; None writes nothing."""
    checkpoint_steps: int | None = None
    """Also write the checkpoint every so many steps, not only after each epoch."""
    checkpoint_seconds: float | None = None
    """Also write the checkpoint when this many seconds have passed since the last."""
    tensorboard: bool = True
    """Write the curve for TensorBoard too, if it is installed."""
    quiet: bool = False
    """No progress bar."""

    def __post_init__(self) -> None:
        """Settings may come back from JSON, where the objective's are a mapping."""
        if isinstance(self.learn, Mapping):
            object.__setattr__(self, "learn", LearnConfig.of(self.learn))
        object.__setattr__(self, "size", as_image_size(self.size))

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant, before anything is read or written."""
        for name in ("epochs", "batch_size"):
            _positive(name, getattr(self, name))
        for name in (
            "limit",
            "eval_limit",
            "eval_last",
            "resident_size",
            "threads",
            "checkpoint_steps",
            "checkpoint_seconds",
            "clip",
            "lr",
        ):
            if getattr(self, name) is not None:
                _positive(name, getattr(self, name))
        check_image_size(self.size)
        for name in ("crop_padding", "num_workers", "warmup_epochs", "momentum", "gamma"):
            _within(name, getattr(self, name), 0, None)
        if self.weight_decay is not None:
            _within("weight_decay", self.weight_decay, 0, None)
        for name in ("val_share", "label_smoothing", "ema", "warmup_from"):
            _within(name, getattr(self, name), 0, 1)
        if self.warmup_from and not self.warmup_epochs:
            raise UserError(f"warmup_from={self.warmup_from} has no use without warmup_epochs: give them, say 10")
        if self.auxiliary is not None:
            _within("auxiliary", self.auxiliary, 0, None)
        if self.drop_path is not None:
            _within("drop_path", self.drop_path, 0, 1)
        if self.warmup_epochs >= self.epochs and self.warmup_epochs > 0:
            raise UserError(f"warmup_epochs={self.warmup_epochs} leaves nothing of epochs={self.epochs}: make it less")
        for name, known in _CHOICES.items():
            if getattr(self, name) is not None and getattr(self, name) not in known:
                raise UserError(f"{name}={getattr(self, name)!r} is unknown: use one of {', '.join(known)}")
        if self.num_workers and self.loader == "resident":
            raise UserError(f"num_workers={self.num_workers} has no use with loader=resident: set loader=workers")
        if (self.mean is None) != (self.std is None):
            raise UserError("give both mean and std, or neither")
        if self.compile and self.learn.lpa3:
            raise UserError("compile does not go with lpa3, which looks at layers inside the network: leave one out")
        if self.only_head and self.learn.objective != "supervised":
            raise UserError(f"only_head goes with objective=supervised, not with {self.learn.objective}: leave one out")
        if self.redraw and self.subset is None:
            raise UserError("redraw draws by the scores in a subset file: give subset, a file of augwise select")
        self._check_milestones()
        self._check_crop()
        self.learn.check()
        if self.learn.of_people:
            self._check_people()

    @property
    def opened_size(self) -> ImageSize | None:
        """Pixels a side, or height and width, that images are opened at; None where they keep sizes of their own."""
        return None if self.crop == "resized" else self.size

    @property
    def chosen(self) -> Path | None:
        """The file that names the training images, where they are not drawn anew."""
        return None if self.redraw else self.subset

    @property
    def opening(self) -> dict[str, Any]:
        """How `open_source` opens this run's images, of whatever split."""
        return {"size": self.opened_size, "broken": self.broken, "progress": not self.quiet}

    def _check_crop(self) -> None:
        if self.crop_share is not None and not 0 < self.crop_share <= 1:
            raise UserError(f"crop_share={self.crop_share} is no part of a side: give more than 0 and at most 1")
        if not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise UserError(f"crop_scale={self.crop_scale} is no range of areas: give two shares, such as 0.08 1")
        if not 0 < self.crop_ratio[0] <= self.crop_ratio[1]:
            raise UserError(f"crop_ratio={self.crop_ratio} is no range of aspects: give two numbers, as 0.75 1.33")
        if self.crop == "pad":
            only = ("crop_scale", "crop_ratio", "crop_share", "interpolation", "resident_size")
            given = [name for name in only if getattr(self, name) != getattr(type(self), name)]
            if given:
                raise UserError(f"{', '.join(given)} have no use with crop=pad: set crop=resized")
        elif not isinstance(self.size, int | None):
            raise UserError(f"size={self.size}: crop=resized makes squares, so give one number, or crop=pad")
        elif self.resident_size is not None and self.size is not None and self.resident_size < self.size:
            raise UserError(
                f"resident_size={self.resident_size} is less than size={self.size}: crops would only be enlarged"
            )

    def _check_people(self) -> None:
        images = self.learn.reid_images
        if self.batch_size % images or self.batch_size < 2 * images:
            raise UserError(
                f"batch_size={self.batch_size} holds no {images} images each of two identities or more: give a "
                f"multiple of {images}, at least {2 * images}, or another reid_images"
            )
        if self.val_share:
            raise UserError(
                "val_share sets images of the same people aside, but objective=reid is measured on others: choose "
                "settings on a data set of other people, and leave it out"
            )
        if self.redraw:
            raise UserError("objective=reid draws identities, so redraw cannot draw images: leave it out")

    def _check_milestones(self) -> None:
        inside = all(0 < m < self.epochs for m in self.milestones)
        if self.schedule == "steps" and not (self.milestones and inside):
            raise UserError(
                f"schedule=steps needs milestones within the {self.epochs} epochs, as 10 15; got {self.milestones}"
            )
        if self.schedule != "steps" and self.milestones:
            raise UserError(
                f"milestones={self.milestones} have no use with schedule={self.schedule}: set schedule=steps"
            )


@dataclass(frozen=True)
class EvaluateConfig:
    """How well a trained classifier does: accuracy per class, confusion matrix, expected calibration error."""

    run: Path | None = None
    """Folder of a finished training run: gives model, weights, data and normalisation."""
    data: str | None = None
    """Data source; left out: the run's."""
    split: str = "test"
    """Split that is measured."""
    subset: Path | None = None
    """Only the images that this file of augwise select names, of this split."""
    limit: int | None = None
    """Measure on this many images only, a seeded subset with balanced classes."""
    size: ImageSize | None = None
    """Resize images to this many pixels a side, or stretch them to height and width; left out: the run's."""
    crop_share: float | None = None
    """Share of the shorter side that the centre crop shows; left out: the run's, or all of it."""
    broken: Literal["stop", "skip"] | None = None
    """Image files that cannot be decoded: stop at the first, or skip them; left out: as the run."""
    model: str | None = None
    """Without a run: the model's name."""
    checkpoint: Path | None = None
    """Without a run: the file of its weights."""
    mean: tuple[float, ...] | None = None
    """Without a run: mean of each channel that the model was trained with, in [0, 1]."""
    std: tuple[float, ...] | None = None
    """Without a run: standard deviation of each channel."""
    batch_size: int = 256
    """Images per forward pass."""
    bins: int = 15
    """Bins of confidence for the calibration error."""
    rerank: bool = False
    """Of a run with objective=reid: also rank by k-reciprocal neighbours, and tell both."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    precision: Precision = "auto"
    """fp32 or bf16 (mixed); auto is bf16 on CUDA, else fp32."""
    out: Path | None = None
    """Where to write the result: a folder (results.json and report.html), or a file NAME.json (and NAME.html)."""
    quiet: bool = False
    """No progress bar."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        for name in ("batch_size", "bins"):
            _positive(name, getattr(self, name))
        given = [name for name in ("data", "model", "checkpoint", "mean", "std") if getattr(self, name) is not None]
        if self.run is None and len(given) < 5:
            missing = [name for name in ("data", "model", "checkpoint", "mean", "std") if name not in given]
            raise UserError(f"give run, the folder of a finished training run, or else also {', '.join(missing)}")
        clash = [name for name in given if name != "data"]
        if self.run is not None and clash:
            raise UserError(f"run gives the model already: leave out {', '.join(clash)}")


_CHOICES = {
    "optimizer": ("sgd", "adamw", "adam"),
    "schedule": ("cosine", "cosine_7_16", "steps"),
    "precision": ("auto", "fp32", "bf16"),
    "loader": ("resident", "workers"),
    "broken": ("stop", "skip"),
    "crop": ("pad", "resized"),
    "interpolation": ("bilinear", "bicubic"),
}


def as_image_size(value: Any) -> Any:
    """A size as it may come back from JSON, where height and width are a list."""
    return tuple(value) if isinstance(value, list) else value


def size_in_words(value: Any) -> str:
    """``64 px`` or ``256×128 px``."""
    return f"{value} px" if isinstance(value, int) else f"{value[0]}×{value[1]} px"


def check_image_size(value: ImageSize | None) -> None:
    """`UserError` for no size."""
    if value is None:
        return
    for side in (value,) if isinstance(value, int) else value:
        _positive("size", side)


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise UserError(f"{name}={value} is not positive: give a number above 0")


def _within(name: str, value: float, low: float, high: float | None) -> None:
    if not (value >= low and (high is None or value < high)):
        raise UserError(f"{name}={value} is out of range: give {low} or more" + (f", below {high}" if high else ""))
