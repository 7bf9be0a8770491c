"""How far one gets without looking at the anatomy."""

import json
from pathlib import Path

from stages.report.results import Results

TITLE = "Shortcuts"
NAMES = {
    "nothing": "Nothing: always the largest class", "file": "File: size, mode, format, source", "intensity": "Intensity: mean, spread, share of black",
    "border": "Border: its grey level and the black bars", "intensity_and_border": "Intensity and border", "all": "All of these",
}  # fmt: skip


def context(results: Results) -> dict:
    shortcuts = json.loads(Path("metrics/shortcuts.json").read_text(encoding="utf-8"))
    rows = [{"name": NAMES[name], **probe} for name, probe in shortcuts["probes"].items()]
    rows.append({"name": f"{results.params.model.backbone}, which sees the picture", **results.summary})
    importance = sorted(shortcuts["importance"].items(), key=lambda item: -item[1])[:5]
    return {"rows": rows, "importance": ", ".join(f"{name} ({value:.2f})" for name, value in importance)}
