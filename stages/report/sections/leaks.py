"""What the published sets leak, and what that is worth."""

import json
from pathlib import Path

from stages.report.pictures import inline
from stages.report.results import Results

TITLE = "What the sets leak"
RUNS = {"naive": "every file a picture of its own", "distinct": "one copy of each picture", "patient": "and no patient on both sides"}


def context(results: Results) -> dict:
    leaks = json.loads(Path("metrics/leaks.json").read_text(encoding="utf-8"))
    sets = [{"name": name, **row, "share_distinct": row["distinct"] / row["pictures"]} for name, row in leaks["sets"].items()]
    published = [
        {"name": row["name"], **row["published"], "mirrored": row["published"]["closest_copy"]["mirrored"]}
        for row in sets
        if row.get("published")
    ]
    simple = leaks["simple_classifier"]["splits"]
    splits = [{"name": name, "meaning": RUNS[name], **leaks["splits"][name], "simple": simple[name]} for name in RUNS]
    return {"sets": sets, "published": published, "splits": splits, "sheet": inline("metrics/plots/leaks.png", 1100)}
