"""Charts without a browser: where things stand, what is said in words, and that names stay text."""

import itertools
import re
import xml.etree.ElementTree as ET
from html import unescape

import pytest

from augwise.report.charts import Cloud, Estimate, Series, forest, histogram, line_chart, number, scatter, ticks


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.013, 0.021), (63.2, 65.9), (1e-5, 2e-5), (0, 120_000), (5, 5)])
@pytest.mark.parametrize("count", [3, 5, 8])
def test_ticks_are_round_even_and_cover(low, high, count):
    found = ticks(low, high, count)
    assert found[0] <= low
    assert found[-1] >= high
    steps = {round(b - a, 9) for a, b in itertools.pairwise(found)}
    assert len({float(f"{s:.6g}") for s in steps}) == 1
    assert float(f"{steps.pop():.0e}"[0]) in (1, 2, 3, 5)  # 2.5 rounds to 2 or 3
    inner = ticks(low, high, count, inside=True)
    if high > low:
        assert all(low - 1e-9 <= v <= high + 1e-9 for v in inner)
    assert len(found) <= 2 * count + 2
    assert len({number(v, found) for v in found}) == len(found)


def test_epochs_have_no_fractions():
    assert all(v == int(v) for v in ticks(1, 3, 6, integers=True))


def parts(chart):
    return ET.fromstring(re.sub(r'xmlns="[^"]+"', "", chart.svg))


def test_a_forest_puts_every_mean_where_its_number_is():
    rows = [Estimate("a", -1, -2, 0.5), Estimate("b", 2.5, 2, 3, sure=False), Estimate("c", 0.5, None, None)]
    chart = forest("F", [("group", rows)], "points", span=(-2, 3))
    svg = parts(chart)
    squares = [float(r.get("x")) + 3.6 for r in svg.iter("rect")]
    lines = [re.match(r"M([\d.]+) [\d.]+H([\d.]+)", p.get("d")).groups() for p in svg.iter("path")]
    slope = (squares[1] - squares[0]) / 3.5
    zero = next(float(line.get("x1")) for line in svg.iter("line") if line.get("class") == "axis")
    assert squares[0] == pytest.approx(zero - slope, abs=0.2)
    assert squares[2] == pytest.approx(zero + 0.5 * slope, abs=0.2)
    assert [(float(a), float(b)) for a, b in lines] == [
        pytest.approx((zero - 2 * slope, zero + 0.5 * slope), abs=0.2),
        pytest.approx((zero + 2 * slope, zero + 3 * slope), abs=0.2),
    ]
    assert ["hollow" in r.get("class") for r in svg.iter("rect")] == [False, True, False]
    assert "a −1, from −2 to 0.5; b 2.5, from 2 to 3; c 0.5 (points)" in svg.find("desc").text


def test_lines_stand_where_their_numbers_are_and_names_stay_text():
    series = [Series("<a&b>", [(1, 10), (2, 20), (4, 40)], "plain"), Series("b", [(1, 15), (4, 15)], "control")]
    chart = line_chart("T <i>", series, "x & y", "%")
    svg = parts(chart)
    first = [tuple(map(float, p.split(","))) for p in next(svg.iter("polyline")).get("points").split()]
    (x1, y1), (x2, y2), (x4, y4) = first
    assert x4 - x1 == pytest.approx(3 * (x2 - x1), abs=0.3)
    assert y1 - y4 == pytest.approx(3 * (y1 - y2), abs=0.3)
    assert y4 < y1
    assert "<a&b>: 10 at 1, 20 at 2, 40 at 4; b: 15 at 1, 15 at 4." in svg.find("desc").text
    assert svg.find("title").text == "T <i>"
    assert "T <i>" not in chart.svg
    assert unescape(chart.svg).count("<a&b>") >= 2


def test_bars_and_grid_of_a_line_chart_stand_where_their_numbers_are_and_inside():
    series = [
        Series("a", [(1, 10), (2, 21)], "plain", bars=[(5, 12), None]),
        Series("b", [(1, 15), (2, 18)], "control", bars=[(14, 16), (17, 43)]),
    ]
    svg = parts(line_chart("T", series, "x", "y"))
    lines = [[float(p.split(",")[1]) for p in line.get("points").split()] for line in svg.iter("polyline")]
    slope = (lines[0][1] - lines[0][0]) / 11
    found = [
        tuple(map(float, re.match(r"M[\d.]+ ([\d.]+)V([\d.]+)", p.get("d")).groups()))
        for p in svg.iter("path")
        if "V" in p.get("d")
    ]
    wanted = [tuple(lines[0][0] + (v - 10) * slope for v in bar) for bar in ((5, 12), (14, 16), (17, 43))]
    assert found == [pytest.approx(bar, abs=0.3) for bar in wanted]
    axis = next(float(line.get("y1")) for line in svg.iter("line") if line.get("class") == "axis")
    grid = [float(line.get("y1")) for line in svg.iter("line") if line.get("class") == "grid"]
    for y in [*itertools.chain(*found, *lines), *grid]:
        assert 40 <= y <= axis
    labels = {t.text: float(t.get("y")) - 4 for t in svg.iter("text") if t.get("text-anchor") == "end"}
    for text, y in labels.items():
        assert y == pytest.approx(lines[0][0] + (float(text) - 10) * slope, abs=0.5)


@pytest.mark.parametrize(("low", "mean", "high"), [(1.5, 2, 3), (-4, -3, -2.5), (0, 0, 0)])
def test_a_forest_shows_zero_and_leaves_room_at_both_ends(low, mean, high):
    svg = parts(forest("F", [("", [Estimate("a", mean, low, high)])], "points"))
    left, right = map(float, re.match(r"M([\d.]+) [\d.]+H([\d.]+)", next(svg.iter("path")).get("d")).groups())
    zero = next(float(line.get("x1")) for line in svg.iter("line") if line.get("class") == "axis")
    label = 14 + 6.4
    assert label + 8 < min(left, zero)
    assert max(right, zero) < 360 - 10
    if high > low:
        assert (left - zero) / (right - zero) == pytest.approx(low / high, abs=0.01)


def test_long_lines_are_told_by_their_ends():
    chart = line_chart("T", [Series("loss", [(e, 1 / e) for e in range(1, 101)])], "epoch", "nats")
    assert "loss: from 1 at 1 to 0.01 at 100, between 0.01 and 1." in chart.svg


def test_bars_are_as_high_as_their_counts():
    svg = parts(histogram("H", [0, 1, 2, 3], [4, 0, 8], "n"))
    heights = [float(r.get("height")) for r in svg.iter("rect")]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)
    assert len(heights) == 2


def test_the_mean_of_a_histogram_stands_at_its_number():
    svg = parts(histogram("H", [0, 10, 20], [3, 1], "n", mean=7.5))
    bars = [(float(r.get("x")) - 0.5, float(r.get("width")) + 1) for r in svg.iter("rect")]
    (line,) = svg.iter("path")
    assert float(line.get("d")[1:].split()[0]) == pytest.approx(bars[0][0] + 0.75 * bars[0][1], abs=0.2)
    assert "0 to 10: 3; 10 to 20: 1; mean 7.5." in svg.find("desc").text


def test_points_of_a_cloud_stand_where_they_are_on_one_scale_and_upright():
    clouds = [Cloud("<a>", [(0, 0), (10, 0)]), Cloud("b", [(0, 4), (10, 4), (5, 2)])]
    chart = scatter("T", clouds)
    svg = parts(chart)
    drawn = [p.get("d") for p in svg.iter("path") if p.get("stroke-width") == "1"]
    at = [[tuple(map(float, m)) for m in re.findall(r"M([\d.]+) ([\d.]+)", d)] for d in drawn]
    assert [len(points) for points in at] == [2, 3]
    (x0, y0), (x1, y1) = at[0]
    unit = (x1 - x0) / 10
    assert unit > 25
    assert y0 == y1
    assert at[1] == [pytest.approx((x0 + unit * x, y0 - unit * y), abs=0.2) for x, y in clouds[1].points]
    frame = next(svg.iter("rect"))
    left, top, side = (float(frame.get(k)) for k in ("x", "y", "width"))
    assert all(left < x < left + side and top < y < top + side for points in at for x, y in points)
    assert "<a>: 2, about 10, 0; b: 3, about 5, 4." in svg.find("desc").text
    assert [t.text for t in svg.iter("text")] == ["<a>", "b"]


@pytest.mark.parametrize("count", [1, 10, 23])
def test_clouds_differ_in_shape_as_long_as_there_are_ten(count):
    clouds = [Cloud(f"class {i}", [(i, j) for j in range(3)]) for i in range(count)]
    svg = parts(scatter("T", clouds))
    drawn = [p for p in svg.iter("path") if p.get("stroke-width") == "1"]
    looks = [(p.get("class"), re.split(r"(?<=[\d.]) [\d.]+(?=m)", p.get("d"))[1].split("M")[0]) for p in drawn]
    assert len(set(looks)) == min(count, 10)
    names = [t.text for t in svg.iter("text")]
    assert sorted(names) == sorted(cloud.name for cloud in clouds)
    # Within reach of ten a legend above the frame, beyond it names among the points.
    top = float(next(svg.iter("rect")).get("y"))
    assert all((float(t.get("y")) < top) == (count <= 10) for t in svg.iter("text"))


def test_one_point_alone_stands_in_the_middle():
    (path,) = [p for p in parts(scatter("T", [Cloud("a", [(3, 7)])])).iter("path") if p.get("stroke-width") == "1"]
    assert path.get("d").startswith("M180.0 ")


def test_no_two_charts_share_an_anchor():
    charts = [histogram("H", [0, 1], [n], "n") for n in (1, 2, 3)]
    assert len({re.search(r'id="([^"]+)"', c.svg)[1] for c in charts}) == 3
