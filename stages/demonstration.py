"""A run on synthetic images is a demonstration and no result: whatever shows its metrics or its predictions says so."""

import json

from stages.catalog import DEMONSTRATION

NOTE = "Demonstration: synthetic pictures"


def is_demonstration() -> bool:
    """Whether any of the merged data sets is generated, as merge found in the registry."""
    return json.loads(DEMONSTRATION.read_text(encoding="utf-8"))["demonstration"]


def titled(title: str, demonstration: bool) -> str:
    """The title of a plot, after the note if it is of a demonstration."""
    return f"{NOTE}. {title}" if demonstration else title
