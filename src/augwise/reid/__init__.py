"""Re-identification: ranking a gallery for every query, its measures, re-ranking, and losses on features.

Everything here takes tensors and gives tensors; it knows neither images nor networks.
"""

from .ranking import Ranking, evaluate_ranking
from .rerank import Rerank
from .triplet import batch_hard_triplet, hardest

__all__ = ["Ranking", "Rerank", "batch_hard_triplet", "evaluate_ranking", "hardest"]
