"""One page about a run: metrics/report.html, which needs no other file and no network.

A section is a module in sections/ (a TITLE, and `context`, which gathers what to show) and a template of its name in
templates/ (how to show it). A new one needs its name in SECTIONS and its files in dvc.yaml.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stages.params import load_params
from stages.report import formats
from stages.report.results import load_results
from stages.report.sections import (
    attention,
    calibration,
    classes,
    confusion,
    curves,
    errors,
    folds,
    groups,
    leaks,
    learning,
    pairs,
    reliability,
    robustness,
    run,
    shortcuts,
    slices,
    summary,
    suspects,
)  # fmt: skip

REPORT = Path("metrics/report.html")
SECTIONS = (
    summary, folds, classes, confusion, curves, reliability, calibration, leaks, shortcuts, learning, slices, groups, pairs, errors, robustness, attention, suspects, run,
)  # fmt: skip
TEMPLATES = Path(__file__).parent / "templates"


def main() -> None:
    results = load_results(load_params())
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= formats.FILTERS
    sections = []
    for module in SECTIONS:
        name = module.__name__.split(".")[-1]
        html = environment.get_template(f"{name}.html").render(module.context(results))
        sections.append({"name": name, "title": module.TITLE, "html": Markup(html)})
    style, script = (Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    page = environment.get_template("page.html").render(results=results, sections=sections, style=style, script=script)
    REPORT.write_text(page, encoding="utf-8", newline="\n")
    print(f"{REPORT}: {len(page) / 1e6:.1f} MB, opens in any browser")


if __name__ == "__main__":
    main()
