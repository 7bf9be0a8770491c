import pytest

from stages.report.chart import BOTTOM, LEFT, RIGHT, TOP, Line, chart
from stages.report.formats import percent


def draw(lines, **ranges):
    return chart("name", "Title", "Description.", "x", "y", lines, **ranges)


def test_the_corners_of_the_ranges_are_the_corners_of_the_plot():
    drawn = draw([Line("diagonal", [0, 0.5, 1], [0, 0.5, 1], colour=0)], x_range=(0, 1), y_range=(0, 1))
    middle = f"{(LEFT + RIGHT) / 2:.1f},{(TOP + BOTTOM) / 2:.1f}"
    assert drawn["lines"][0]["points"] == f"{LEFT:.1f},{BOTTOM:.1f} {middle} {RIGHT:.1f},{TOP:.1f}"
    assert [text for _, text in drawn["x_ticks"]] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert drawn["y_ticks"][0][0] == f"{BOTTOM:.1f}" and drawn["y_ticks"][-1][0] == f"{TOP:.1f}"


@pytest.mark.parametrize("values", [[3.0, 3.0], [0.0, 0.0], [0.871, 0.874], [1e-4, 250.0], [-2.0, 5.0]])
def test_without_ranges_every_point_lies_in_the_plot(values):
    drawn = draw([Line("line", [1, 2], values, colour=0)])
    for point in drawn["lines"][0]["points"].split():
        x, y = map(float, point.split(","))
        assert LEFT <= x <= RIGHT and TOP <= y <= BOTTOM
    assert 2 <= len(drawn["y_ticks"]) <= 8
    assert len({text for _, text in drawn["y_ticks"]}) == len(drawn["y_ticks"])


def test_dots_where_they_have_a_radius():
    (line,) = draw([Line("line", [1, 2, 3], [1, 2, 3], colour=0, radii=[0, 4, 0])])["lines"]
    assert line["dots"] == [(*line["points"].split()[1].split(","), "4.0")]


def test_lines_beyond_the_number_of_colours_look_different_by_their_dashes():
    lines = [Line(f"class {k}", [0, 1], [0, k], colour=k) for k in range(32)]
    assert len({line["style"] for line in draw(lines)["lines"]}) == 32


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.0 %"), (1e-9, "< 0.1 %"), (0.1234, "12.3 %"), (0.99999, "> 99.9 %"), (1, "100.0 %"), (0.999, "99.9 %")]
)
def test_percent_never_says_all_or_nothing_when_it_is_not(value, text):
    assert percent(value).replace("\u00a0", " ") == text
