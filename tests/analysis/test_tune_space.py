"""Ranges in the places of options: what is searched, what is fixed, what the method does by itself."""

import pytest

import augwise as aw
from augwise.analysis.tune_space import (
    BUILT_IN,
    Between,
    OneOf,
    built_in,
    default_options,
    default_setting,
    from_values,
    parameters,
    settled,
    template_of,
    within,
)
from augwise.catalogue import find, methods
from augwise.cli import main

ADVMASK, CUTOUT, MIXUP = (find(name, methods()) for name in ("advmask", "cutout", "mixup"))


def test_parameters_are_the_places_of_ranges_and_a_setting_fills_them():
    template = {
        "fill": "mean",
        "lengths": (0.1, Between(0.2, 0.5)),
        "share": Between(0.1, 0.5),
        "window": OneOf(("a", "b")),
    }
    assert list(parameters(template)) == ["lengths[1]", "share", "window"]
    setting = {"lengths[1]": 0.3, "share": 0.2, "window": "b"}
    assert settled(template, setting) == {"fill": "mean", "lengths": (0.1, 0.3), "share": 0.2, "window": "b"}
    assert within(template, setting)
    assert not within(template, {**setting, "share": 0.51})
    assert not within(template, {"share": 0.2})


def test_numbers_keep_few_digits_and_stay_inside():
    r = Between(0.12345, 0.98765)
    assert [r.short(v) for v in (0.5012345, 0.12345, 0.123451, 0.98765)] == [0.501, 0.12345, 0.12345, 0.98765]
    assert Between(2, 9).whole
    assert not Between(2, 9.0).whole
    assert [Between(2, 9).holds(v) for v in (2, 9, 10, 2.5, True)] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Between(2, 2), "2 to 2 is no range"),
        (lambda: Between(0.5, float("nan")), "no range"),
        (lambda: Between(0, 1, log=True), "begins above 0"),
        (lambda: OneOf(("a",)), "nothing to choose"),
        (lambda: OneOf(("a", "a")), "nothing to choose"),
        (lambda: template_of(CUTOUT, {"lenght": 8}), "no option 'lenght': it takes length"),
        (lambda: template_of(CUTOUT, {"length": 8}), "cutout has no ranges built in.*--length LOW HIGH"),
        (
            lambda: template_of(ADVMASK, {"share": 0.4, "lengths": (2, 15), "least": 0.5, "overlap": 0.1}),
            "all of its ranges are fixed",
        ),
    ],
)
def test_what_is_no_range_or_nothing_to_search(make, says):
    with pytest.raises(aw.UserError, match=says):
        make()


def test_without_a_range_the_built_in_ones_are_searched_and_what_is_given_stays():
    assert template_of(ADVMASK, {}) == BUILT_IN["advmask"]
    fixed = template_of(ADVMASK, {"share": 0.3, "top": 0.1})
    assert list(parameters(fixed)) == ["lengths[0]", "lengths[1]", "least", "overlap"]
    assert (fixed["share"], fixed["top"]) == (0.3, 0.1)
    own = {"overlap": Between(0.0, 0.5)}
    assert template_of(ADVMASK, own) == own


@pytest.mark.parametrize("published", [{}, {"lengths": (5 / 32, 20 / 32), "share": 0.5, "least": 0.12, "overlap": 0.2}])
def test_both_published_settings_of_advmask_lie_in_its_ranges(published):
    """Section 4.2: CIFAR-10, which is the method's own, and CIFAR-100."""
    setting = default_setting(ADVMASK, template_of(ADVMASK, {}))
    assert setting == {"lengths[0]": 2 / 32, "lengths[1]": 15 / 32, "share": 0.4, "least": 0.5, "overlap": 0.1}
    if published:
        (a, b), rest = published["lengths"], {k: v for k, v in published.items() if k != "lengths"}
        setting = {"lengths[0]": a, "lengths[1]": b, **rest}
        wrapped = ADVMASK.load()(**settled(BUILT_IN["advmask"], setting)).wrapped
        assert wrapped.shares == pytest.approx((0.06, 0.5))
    assert within(BUILT_IN["advmask"], setting)


def test_the_methods_own_setting_keeps_what_is_fixed():
    template = {"length": Between(8, 24), "quantile": 0.6}
    assert default_options(CUTOUT, template) == {"quantile": 0.6, "length": 16}  # as comparisons do, it has none itself
    assert default_setting(CUTOUT, template) == {"length": 16}
    assert default_options(CUTOUT, {"length": 12, "quantile": Between(0.3, 0.9)}) == {"length": 12}
    assert default_setting(CUTOUT, {"length": 12, "quantile": Between(0.3, 0.9)}) == {}  # plain: no quantile at all
    assert default_options(MIXUP, {"alpha": Between(0.1, 2.0, log=True)}) in ({}, {"alpha": 1})


@pytest.mark.parametrize(
    ("values", "width", "wanted"),
    [
        ((0.4,), 1, 0.4),
        ((0.2, 0.5), 1, Between(0.2, 0.5)),
        ((8, 24), 1, Between(8, 24)),
        ((1, 0.5), 1, None),
        ((0, 0.5), 1, Between(0.0, 0.5)),
        ((2, 15), 2, (2, 15)),
        ((2, 5, 10, 20), 2, (Between(2, 5), Between(10, 20))),
        ((2, 2, 10, 20), 2, (2, Between(10, 20))),
        (("clipped",), 1, "clipped"),
        (("clipped", "inside"), 1, OneOf(("clipped", "inside"))),
        (((0.1, 0.2, 0.3),), 0, (0.1, 0.2, 0.3)),
        ((1, 2, 3), 1, None),
        ((1, 2, 3), 2, None),
        ((0.5, 8), 1, None),
    ],
)
def test_values_of_the_command_line(values, width, wanted):
    if wanted is None:
        with pytest.raises(aw.UserError, match=f"^--x-y {' '.join(map(str, values))}: "):
            from_values(CUTOUT, {"x_y": values}, {"x_y": width})
        return
    found = from_values(CUTOUT, {"x_y": values}, {"x_y": width})["x_y"]
    assert found == wanted
    if isinstance(wanted, Between):
        assert found.whole == wanted.whole


def test_the_help_says_what_is_searched(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["tune", "--help"])
    assert not stopped.value.code
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name, ranges in built_in("advmask").items():
        assert f"--{name} " in said
        assert f"Searched where nobody says otherwise: {ranges}." in said
    assert "--val-share FLOAT" in said
    assert "Usually 0.0625 0.46875. Twice as many: search between every two." in said
    with pytest.raises(SystemExit):
        main(["tune", "--method", "cutout", "--help"])
    said = capsys.readouterr().out
    assert "--length [INT|FLOAT [INT|FLOAT ...]]" in said
    assert "--overlap" not in said
    assert "nobody says otherwise" not in said
