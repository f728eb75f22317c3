"""Which pixels decide the class: estimators, and the stores that keep their maps.

The verbs are functions of their own modules: `augwise.estimate`, `augwise.merge`.
"""

from .attached import AttachedMaps as AttachedMaps
from .estimator import Estimated as Estimated
from .estimator import Estimator as Estimator
from .live import LiveSaliency as LiveSaliency
from .live_one_pass import LiveOnePass as LiveOnePass
from .one_pass import OnePass as OnePass
from .store import ImportanceStore as ImportanceStore
