"""Numbers as text."""


def figure(value: float | None, digits: int = 3) -> str:
    """A figure of merit with three digits; None has no definition."""
    return "undefined" if value is None else f"{value:.{digits}f}"


def count(value: int) -> str:
    return f"{value:,}"


def percent(value: float) -> str:
    """One digit, and never a rounded 100 % of what is not all, or 0 % of what is something; the spaces do not break."""
    text = f"{value:.1%}"
    if text == "100.0%" and value < 1:
        return ">\u00a099.9\u00a0%"
    return "<\u00a00.1\u00a0%" if text == "0.0%" and value > 0 else text.replace("%", "\u00a0%")


FILTERS = {"figure": figure, "count": count, "percent": percent}
