"""The papers' printed numbers: complete, and of the right sign, unit and place."""

from __future__ import annotations

import pytest

from augwise.errors import UserError
from augwise.recipes.published import PAPERS, table, tables


def test_every_cell_that_was_transcribed_is_there():
    assert sum(len(one.cells) for one in tables().values()) == 1083
    assert {name.partition("/")[0] for name in tables()} == set(PAPERS)
    for one in tables().values():
        assert one.better in ("higher", "lower"), one.id
        assert set(one.cells) <= {(row, column) for row in one.rows for column in one.columns}, one.id


@pytest.mark.parametrize(
    ("name", "row", "column", "mean", "error"),
    [
        ("ipf-rda/table-1-cifar-10", "Cutout", "ResNet-18", 3.99, True),
        ("ipf-rda/section-5-label-noise", "IPF-TrivialAugment", "CIFAR-100, 50% noise", 36.40, True),
        ("advmask/table-1-cifar-10", "ResNet-18", "AdvMask", 96.44, False),
        ("dcutmix/table-3-left", "DCutMix", "top-1", 21.76, True),
        ("lp-a3/table-2", "DivideMix + LP-A3", "CIFAR-100 / 50% noise", 74.12, False),
    ],
)
def test_known_cells(name, row, column, mean, error):
    one = table(name)
    found = one.value(row, column)
    assert found is not None
    assert found.mean == mean
    assert one.is_error == error
    assert (one.better == "lower") == error


def test_a_blank_cell_has_no_number():
    assert table("lp-a3/table-1").value("InfoMin (RGB)", "CIFAR-10 / 40 labels") is None


def test_an_unknown_table_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'lp-a3/table-2'"):
        table("lp-a3/table-22")
