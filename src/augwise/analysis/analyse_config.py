"""What the verb ``analyse`` is asked for, one class for each word after it. Touches no torch: ``--help`` is quick."""

from __future__ import annotations

from .analyse_config_answers import AnalyseCalibration, AnalyseNatural, AnalyseOod, AnalyseRobustness
from .analyse_config_looks import AnalyseCam, AnalyseCurves, AnalyseEmbedding, AnalyseFarther, AnalyseGradients
from .analyse_config_weights import AnalyseHessian, AnalyseLandscape, AnalyseNoise
from .analyse_on import AnalyseRuns, FinishedRuns

__all__ = [
    "AnalyseCalibration",
    "AnalyseCam",
    "AnalyseCurves",
    "AnalyseEmbedding",
    "AnalyseFarther",
    "AnalyseGradients",
    "AnalyseHessian",
    "AnalyseLandscape",
    "AnalyseNatural",
    "AnalyseNoise",
    "AnalyseOod",
    "AnalyseRobustness",
    "AnalyseRuns",
    "Analysis",
    "FinishedRuns",
    "word",
]

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
