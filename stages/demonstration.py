"""A run on synthetic pictures is a demonstration and no result: whatever shows its figures says so."""

from stages.sources import load_source

NOTE = "Demonstration: synthetic pictures"


def is_demonstration(sources: list[str]) -> bool:
    """Whether any of the data sets of these names is generated (archive.phantom in data/sources.yaml)."""
    return any(load_source(name).archive.phantom for name in sources)


def titled(title: str, demonstration: bool) -> str:
    """The title of a picture, after the note if it is of a demonstration."""
    return f"{NOTE}. {title}" if demonstration else title
