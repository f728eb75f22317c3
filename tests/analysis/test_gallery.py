"""Which examples a comparison's page shows."""

import numpy as np

from augwise.analysis.gallery import Example, telling


def test_the_telling_examples_are_the_worst_of_each_class():
    lost = [("cat", 0.2), ("cat", 0.7), ("dog", float("nan")), ("dog", 0.4), ("owl", 0.5)]
    found = [
        Example(
            np.zeros((2, 2, 3), np.uint8),
            np.zeros((2, 2)),
            name,
            {"plain": (np.zeros(1), 0.1, loss), "guarded": (np.zeros(1), 0, 0)},
        )
        for name, loss in lost
    ]
    chosen = telling(found, 2)
    assert [(e.label, e.arms["plain"][2]) for e in chosen] == [("cat", 0.7), ("owl", 0.5)]
