"""Line charts: the geometry here, the SVG in templates/macros.html, the colours in page.css, which knows light, dark and print."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator

LEFT, RIGHT, TOP, BOTTOM = 46, 390, 10, 256  # of the plot in a viewBox of 400 x 300
COLOURS, DASHES = 8, 4  # that page.css defines


@dataclass(frozen=True)
class Line:
    """colour and dash: numbers of page.css; where colours repeat, the dashes change. radii: of a dot at each point, 0 for none."""

    name: str
    x: Iterable[float]
    y: Iterable[float]
    colour: int
    dash: int = 0
    radii: Iterable[float] = ()
    in_legend: bool = True


def chart(
    name: str,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    lines: list[Line],
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    diagonal: bool = False,
) -> dict:
    """What the macro `chart` draws. name: its id; title and description: what a screen reader says; ranges: of the axes, by default as wide as the data."""
    x, x_ticks = _axis([v for line in lines for v in line.x], x_range, LEFT, RIGHT)
    y, y_ticks = _axis([v for line in lines for v in line.y], y_range, BOTTOM, TOP)
    drawn = []
    for line in lines:
        points = [(f"{x(a):.1f}", f"{y(b):.1f}") for a, b in zip(line.x, line.y, strict=True)]
        drawn.append(
            {
                "name": line.name,
                "style": f"colour-{line.colour % COLOURS} dash-{(line.dash + line.colour // COLOURS) % DASHES}",
                "in_legend": line.in_legend,
                "points": " ".join(map(",".join, points)),
                "dots": [(*point, f"{radius:.1f}") for point, radius in zip(points, line.radii, strict=False) if radius],
            }
        )
    return {
        "name": name,
        "title": title,
        "description": description,
        "x_label": x_label,
        "y_label": y_label,
        "x_ticks": x_ticks,
        "y_ticks": y_ticks,
        "lines": drawn,
        "diagonal": diagonal,
        "frame": {"left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM},
    }


def _axis(values: list[float], limits: tuple[float, float] | None, start: float, end: float) -> tuple[Callable[[float], float], list]:
    """value -> position, and the ticks as (position, text)."""
    low, high = limits or (min(values), max(values))
    if low == high:
        low, high = low - 0.5, high + 0.5
    ticks = np.asarray(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
    if limits is None:
        low, high = ticks[0], ticks[-1]

    def position(value: float) -> float:
        return start + (value - low) / (high - low) * (end - start)

    inside = ticks[(ticks >= low - 1e-9) & (ticks <= high + 1e-9)]
    return position, [(f"{position(tick):.1f}", f"{np.round(tick, 6):g}") for tick in inside]
