"""What was run: data, weights, params, and the hashes by which git history finds the run again."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from stages.catalog import CATALOG, CLUSTERS, PREDICTIONS
from stages.params import Section
from stages.report.results import Results
from stages.sources import load_source

TITLE = "What was run"


def context(results: Results) -> dict:
    sources = {
        name: json.loads(Path(f"data/raw/{name}.json").read_text(encoding="utf-8"))
        | load_source(name).model_dump(include={"licence", "attribution"})
        for name in results.params.data.sources
    }
    weights = json.loads(Path("data/weights/weights.json").read_text(encoding="utf-8"))
    hashes = {path.as_posix(): hashlib.md5(path.read_bytes()).hexdigest() for path in (PREDICTIONS, CLUSTERS, CATALOG)}
    return {"sources": sources, "weights": weights, "params": list(knobs(results.params)), "hashes": hashes}


def knobs(section: Section, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Dotted key, value as JSON, and meaning of every param."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from knobs(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value), field.description or ""
