"""augwise: augmentation that keeps the evidence.

``import augwise as aw`` costs nothing: every name is fetched from its module when it is first used, so that
``augwise --help`` answers without importing torch. The library half (everything up to `augwise.data`) needs torch,
torchvision, NumPy and tqdm alone; training, analysis and the command line bring the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    # words
    "Batch": "sample",
    "BinaryCrossEntropy": "criteria",
    "BinaryFocalLoss": "criteria",
    "CrossEntropy": "criteria",
    "FocalLoss": "criteria",
    "ImportanceMap": "importance_map",
    "MixedLabels": "labels",
    "Ramp": "schedule",
    "Sample": "sample",
    "UserError": "errors",
    "progress": "schedule",
    # importance
    "AdvMaskAttack": "importance.advmask",
    "CDIEA": "importance.cdiea",
    "CentrePrior": "importance.centre",
    "Estimator": "importance.estimator",
    "FlatPrior": "importance.area",
    "GradCAM": "importance.grad_cam",
    "Graded": "importance.graded",
    "GradientSaliency": "importance.saliency",
    "HarrisCorners": "importance.corners",
    "ImportanceStore": "importance.store",
    "LiveOnePass": "importance.live_one_pass",
    "LiveSaliency": "importance.live",
    "Occlusion": "importance.occlusion",
    "OnePass": "importance.one_pass",
    "PixelIntensity": "importance.intensity",
    "RISE": "importance.rise",
    "SmoothGrad": "importance.smoothgrad",
    "UniformRandom": "importance.uniform",
    "erasure_fidelity": "importance.fidelity",
    "estimate": "importance.estimate",
    "export_store": "importance.exchange",
    "import_store": "importance.exchange",
    "merge": "importance.merge",
    "prune": "importance.pruning",
    "refine": "importance.pruning",
    "superpixels": "importance.superpixels",
    "verify_store": "importance.verify",
    # adversarial
    "AuxiliaryBatchNorm": "adversarial.norms",
    "LPA3": "adversarial.lpa3",
    "PerceptualDistance": "adversarial.perceptual",
    "Selective": "adversarial.selective",
    "TimeConsistency": "adversarial.consistency",
    # transforms and mixing
    "AdvMask": "transforms.adv_mask",
    "AutoAugment": "transforms.auto_augment",
    "CoMixup": "mixing.co_mixup",
    "CutMix": "mixing.cutmix",
    "Cutout": "transforms.cutout",
    "DCutMix": "mixing.dcutmix",
    "DMixup": "mixing.dmixup",
    "FMix": "mixing.fmix",
    "FastAutoAugment": "transforms.fast_auto_augment",
    "GridMask": "transforms.grid_mask",
    "HideAndSeek": "transforms.hide_and_seek",
    "ManifoldMixup": "mixing.manifold_mixup",
    "Mixup": "mixing.mixup",
    "Preserve": "transforms.preserve",
    "PuzzleMix": "mixing.puzzle_mix",
    "RandAugment": "transforms.rand_augment",
    "RandomCrop": "transforms.crop_flip",
    "RandomErasing": "transforms.random_erasing",
    "RandomHorizontalFlip": "transforms.crop_flip",
    "RandomResizedCrop": "transforms.resized_crop",
    "ResizeMix": "mixing.resize_mix",
    "SaliencyDCutMix": "mixing.saliency_dcutmix",
    "SaliencyMix": "mixing.saliency_mix",
    "SmoothLabels": "mixing.soften",
    "SoftenLabels": "mixing.soften",
    "StyleCutMix": "mixing.style_cutmix",
    "StyleMix": "mixing.style_mix",
    "TrivialAugment": "transforms.trivial_augment",
    "TrustedGuard": "transforms.trusted",
    "follow": "transforms.follow",
    # selection
    "SubsetFile": "subset_file",
    "mixed_losses": "selection.variation",
    "select": "selection.select",
    # models and data
    "BatchPipeline": "data.pipeline",
    "EpochSampler": "data.samplers",
    "Genotype": "models.genotype",
    "Normalize": "data.pipeline",
    "Normalized": "models.normalized",
    "Redraw": "data.redraw",
    "RedrawSampler": "data.redraw",
    "Resident": "data.resident",
    "WithImportance": "data.with_importance",
    "collate": "data.collate",
    "collate_with": "data.collate_with",
    "open_source": "data.sources",
    # verbs
    "AnalyseCalibration": "analysis.analyse_config",
    "AnalyseCam": "analysis.analyse_config",
    "AnalyseCurves": "analysis.analyse_config",
    "AnalyseEmbedding": "analysis.analyse_config",
    "AnalyseFarther": "analysis.analyse_config",
    "AnalyseGradients": "analysis.analyse_config",
    "AnalyseHessian": "analysis.analyse_config",
    "AnalyseLandscape": "analysis.analyse_config",
    "AnalyseNatural": "analysis.analyse_config",
    "AnalyseNoise": "analysis.analyse_config",
    "AnalyseOod": "analysis.analyse_config",
    "AnalyseRobustness": "analysis.analyse_config",
    "AnalyseRuns": "analysis.analyse_config",
    "AttackTableConfig": "analysis.attack_table",
    "Audit": "analysis.audit_result",
    "AuditConfig": "analysis.audit_run",
    "Between": "analysis.tune_space",
    "CompareConfig": "analysis.compare_plan",
    "DistilConfig": "analysis.distil_run",
    "EvaluateConfig": "training.config",
    "FidelityConfig": "analysis.fidelity_config",
    "FinetuneConfig": "recipes.finetune",
    "FinishedRuns": "analysis.analyse_config",
    "OneOf": "analysis.tune_space",
    "OnePassSettings": "training.one_pass",
    "QuickstartConfig": "recipes.quickstart",
    "ReproduceConfig": "recipes.reproduce",
    "ReportConfig": "report.build",
    "SearchConfig": "training.search_config",
    "SelectConfig": "analysis.select_config",
    "ShowConfig": "analysis.show",
    "StoreExport": "analysis.stores",
    "StoreImport": "analysis.stores",
    "StoreInfo": "analysis.stores",
    "StoreVerify": "analysis.stores",
    "TrainConfig": "training.config",
    "TuneConfig": "analysis.tune_config",
    "analyse": "analysis.analyse",
    "attack_table": "analysis.attack_table",
    "audit": "analysis.audit",
    "compare": "analysis.compare",
    "distil": "analysis.distil_run",
    "evaluate": "training.evaluate",
    "fidelity": "analysis.fidelity_run",
    "finetune": "recipes.finetune",
    "quickstart": "recipes.quickstart",
    "reproduce": "recipes.reproduce",
    "search": "training.search",
    "select_images": "analysis.select_run",
    "show": "analysis.show",
    "stores": "analysis.stores",
    "train": "training.train",
    "label_trust": "training.trust",
    "train_one_pass": "training.one_pass",
    "tune": "analysis.tune",
}
# `report` is a package that can be called, see its __init__.
_MODULES = {
    "adversarial",
    "data",
    "importance",
    "losses",
    "mixing",
    "models",
    "randomness",
    "regions",
    "reid",
    "report",
    "selection",
    "training",
    "transforms",
}

__all__ = sorted([*_HOME, *_MODULES, "__version__"])  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from .adversarial.consistency import TimeConsistency as TimeConsistency
    from .adversarial.lpa3 import LPA3 as LPA3
    from .adversarial.norms import AuxiliaryBatchNorm as AuxiliaryBatchNorm
    from .adversarial.perceptual import PerceptualDistance as PerceptualDistance
    from .adversarial.selective import Selective as Selective
    from .analysis.analyse import analyse as analyse
    from .analysis.analyse_config import AnalyseCalibration as AnalyseCalibration
    from .analysis.analyse_config import AnalyseCam as AnalyseCam
    from .analysis.analyse_config import AnalyseCurves as AnalyseCurves
    from .analysis.analyse_config import AnalyseEmbedding as AnalyseEmbedding
    from .analysis.analyse_config import AnalyseFarther as AnalyseFarther
    from .analysis.analyse_config import AnalyseGradients as AnalyseGradients
    from .analysis.analyse_config import AnalyseHessian as AnalyseHessian
    from .analysis.analyse_config import AnalyseLandscape as AnalyseLandscape
    from .analysis.analyse_config import AnalyseNatural as AnalyseNatural
    from .analysis.analyse_config import AnalyseNoise as AnalyseNoise
    from .analysis.analyse_config import AnalyseOod as AnalyseOod
    from .analysis.analyse_config import AnalyseRobustness as AnalyseRobustness
    from .analysis.analyse_config import AnalyseRuns as AnalyseRuns
    from .analysis.analyse_config import FinishedRuns as FinishedRuns
    from .analysis.attack_table import AttackTableConfig as AttackTableConfig
    from .analysis.attack_table import attack_table as attack_table
    from .analysis.audit import audit as audit
    from .analysis.audit_result import Audit as Audit
    from .analysis.audit_run import AuditConfig as AuditConfig
    from .analysis.compare import compare as compare
    from .analysis.compare_plan import CompareConfig as CompareConfig
    from .analysis.distil_run import DistilConfig as DistilConfig
    from .analysis.distil_run import distil as distil
    from .analysis.fidelity_config import FidelityConfig as FidelityConfig
    from .analysis.fidelity_run import fidelity as fidelity
    from .analysis.select_config import SelectConfig as SelectConfig
    from .analysis.select_run import select_images as select_images
    from .analysis.show import ShowConfig as ShowConfig
    from .analysis.show import show as show
    from .analysis.stores import StoreExport as StoreExport
    from .analysis.stores import StoreImport as StoreImport
    from .analysis.stores import StoreInfo as StoreInfo
    from .analysis.stores import StoreVerify as StoreVerify
    from .analysis.stores import stores as stores
    from .analysis.tune import tune as tune
    from .analysis.tune_config import TuneConfig as TuneConfig
    from .analysis.tune_space import Between as Between
    from .analysis.tune_space import OneOf as OneOf
    from .criteria import BinaryCrossEntropy as BinaryCrossEntropy
    from .criteria import BinaryFocalLoss as BinaryFocalLoss
    from .criteria import CrossEntropy as CrossEntropy
    from .criteria import FocalLoss as FocalLoss
    from .data.collate import collate as collate
    from .data.collate_with import collate_with as collate_with
    from .data.pipeline import BatchPipeline as BatchPipeline
    from .data.pipeline import Normalize as Normalize
    from .data.redraw import Redraw as Redraw
    from .data.redraw import RedrawSampler as RedrawSampler
    from .data.resident import Resident as Resident
    from .data.samplers import EpochSampler as EpochSampler
    from .data.sources import open_source as open_source
    from .data.with_importance import WithImportance as WithImportance
    from .errors import UserError as UserError
    from .importance.advmask import AdvMaskAttack as AdvMaskAttack
    from .importance.area import FlatPrior as FlatPrior
    from .importance.cdiea import CDIEA as CDIEA
    from .importance.centre import CentrePrior as CentrePrior
    from .importance.corners import HarrisCorners as HarrisCorners
    from .importance.estimate import estimate as estimate
    from .importance.estimator import Estimator as Estimator
    from .importance.exchange import export_store as export_store
    from .importance.exchange import import_store as import_store
    from .importance.fidelity import erasure_fidelity as erasure_fidelity
    from .importance.grad_cam import GradCAM as GradCAM
    from .importance.graded import Graded as Graded
    from .importance.intensity import PixelIntensity as PixelIntensity
    from .importance.live import LiveSaliency as LiveSaliency
    from .importance.live_one_pass import LiveOnePass as LiveOnePass
    from .importance.merge import merge as merge
    from .importance.occlusion import Occlusion as Occlusion
    from .importance.one_pass import OnePass as OnePass
    from .importance.pruning import prune as prune
    from .importance.pruning import refine as refine
    from .importance.rise import RISE as RISE
    from .importance.saliency import GradientSaliency as GradientSaliency
    from .importance.smoothgrad import SmoothGrad as SmoothGrad
    from .importance.store import ImportanceStore as ImportanceStore
    from .importance.superpixels import superpixels as superpixels
    from .importance.uniform import UniformRandom as UniformRandom
    from .importance.verify import verify_store as verify_store
    from .importance_map import ImportanceMap as ImportanceMap
    from .labels import MixedLabels as MixedLabels
    from .mixing.co_mixup import CoMixup as CoMixup
    from .mixing.cutmix import CutMix as CutMix
    from .mixing.dcutmix import DCutMix as DCutMix
    from .mixing.dmixup import DMixup as DMixup
    from .mixing.fmix import FMix as FMix
    from .mixing.manifold_mixup import ManifoldMixup as ManifoldMixup
    from .mixing.mixup import Mixup as Mixup
    from .mixing.puzzle_mix import PuzzleMix as PuzzleMix
    from .mixing.resize_mix import ResizeMix as ResizeMix
    from .mixing.saliency_dcutmix import SaliencyDCutMix as SaliencyDCutMix
    from .mixing.saliency_mix import SaliencyMix as SaliencyMix
    from .mixing.soften import SmoothLabels as SmoothLabels
    from .mixing.soften import SoftenLabels as SoftenLabels
    from .mixing.style_cutmix import StyleCutMix as StyleCutMix
    from .mixing.style_mix import StyleMix as StyleMix
    from .models.genotype import Genotype as Genotype
    from .models.normalized import Normalized as Normalized
    from .recipes.finetune import FinetuneConfig as FinetuneConfig
    from .recipes.finetune import finetune as finetune
    from .recipes.quickstart import QuickstartConfig as QuickstartConfig
    from .recipes.quickstart import quickstart as quickstart
    from .recipes.reproduce import ReproduceConfig as ReproduceConfig
    from .recipes.reproduce import reproduce as reproduce
    from .report.build import ReportConfig as ReportConfig
    from .report.build import report as report
    from .sample import Batch as Batch
    from .sample import Sample as Sample
    from .schedule import Ramp as Ramp
    from .schedule import progress as progress
    from .selection.select import select as select
    from .selection.variation import mixed_losses as mixed_losses
    from .subset_file import SubsetFile as SubsetFile
    from .training.config import EvaluateConfig as EvaluateConfig
    from .training.config import TrainConfig as TrainConfig
    from .training.evaluate import evaluate as evaluate
    from .training.one_pass import OnePassSettings as OnePassSettings
    from .training.one_pass import train_one_pass as train_one_pass
    from .training.search import search as search
    from .training.search_config import SearchConfig as SearchConfig
    from .training.train import train as train
    from .training.trust import label_trust as label_trust
    from .transforms.adv_mask import AdvMask as AdvMask
    from .transforms.auto_augment import AutoAugment as AutoAugment
    from .transforms.crop_flip import RandomCrop as RandomCrop
    from .transforms.crop_flip import RandomHorizontalFlip as RandomHorizontalFlip
    from .transforms.cutout import Cutout as Cutout
    from .transforms.fast_auto_augment import FastAutoAugment as FastAutoAugment
    from .transforms.follow import follow as follow
    from .transforms.grid_mask import GridMask as GridMask
    from .transforms.hide_and_seek import HideAndSeek as HideAndSeek
    from .transforms.preserve import Preserve as Preserve
    from .transforms.rand_augment import RandAugment as RandAugment
    from .transforms.random_erasing import RandomErasing as RandomErasing
    from .transforms.resized_crop import RandomResizedCrop as RandomResizedCrop
    from .transforms.trivial_augment import TrivialAugment as TrivialAugment
    from .transforms.trusted import TrustedGuard as TrustedGuard


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    elif name in _MODULES:
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module 'augwise' has no attribute {name!r}")
    # A submodule of the same name (importance.estimate, say) must never stand in for the function.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
