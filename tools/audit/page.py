"""The findings as one page, audit.html, which needs no other file and no network; it looks like the report of a run."""

import base64
import io
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image, ImageOps
from tqdm import tqdm

from stages import report
from stages.copies import KINDS
from stages.pixels import open_image, to_grey
from stages.report import formats
from tools.audit.files import Files, shown

REPORT = Path(next(iter(report.__path__))) / "templates"
SIDE = 160  # of an image in the page, at most, pixels
PAIRS, SETS, MEMBERS = 8, 12, 6  # pairs of a kind, sets of alike images or of one under several classes, and images of each
ROWS = 200  # of a table of files


def write_page(path: Path, findings: dict, files: Files, table: pd.DataFrame, pairs: list[pd.DataFrame]) -> None:
    """findings: what audit.json holds; table: that of copies.Clusters, with conflict; pairs: of findings.find_leaks."""
    environment = Environment(
        loader=FileSystemLoader([Path(__file__).parent / "templates", REPORT]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= formats.FILTERS | {"shown": shown}
    leaks, copies = [_by_kind(some, table) for some in pairs], _by_kind(_copies(table), table)
    conflicts, alike = _sets(table[table.conflict], "cluster", table), _sets(table[table.kept], "group", table)
    cards = [card for kinds in (*leaks, copies) for kind in kinds for pair in kind["pairs"] for card in pair]
    cards += [card for some in (*conflicts["sets"], *alike["sets"]) for card in some]
    for card in tqdm(cards, unit=" images", desc="page", disable=None):
        card["uri"] = _uri(files.base / card["path"])
    html = environment.get_template("audit.html").render(
        findings=findings,
        leaks=list(zip(findings["leaks"], leaks, strict=True)),
        copies=copies,
        conflicts=conflicts,
        alike=alike,
        files=files,
        rows=ROWS,
        style=Markup((REPORT / "page.css").read_text(encoding="utf-8")),
        script=Markup((REPORT / "page.js").read_text(encoding="utf-8")),
    )
    path.write_text(html, encoding="utf-8", newline="\n")


def _copies(table: pd.DataFrame) -> pd.DataFrame:
    """Row numbers of each copy, test, and of what it is a copy of, train, and the kind: as pairs of leaks.counts have them."""
    kept = pd.Series(table.index, index=table.path)
    copies = table[~table.kept]
    return pd.DataFrame({"test": copies.index, "train": kept[copies.copy_of].to_numpy(), "kind": copies["copy"]})


def _by_kind(pairs: pd.DataFrame, table: pd.DataFrame) -> list[dict]:
    """Examples of each kind, from all over the list so that classes vary."""
    kinds = []
    for kind in KINDS:
        mine = pairs[pairs.kind == kind]
        chosen = mine.iloc[:: -(-len(mine) // PAIRS) or 1]
        shown_pairs = [(_card(table, pair.train), _card(table, pair.test)) for pair in chosen.itertuples()]
        if shown_pairs:
            kinds.append({"kind": kind, "count": len(mine), "pairs": shown_pairs})
    return kinds


def _sets(rows: pd.DataFrame, column: str, table: pd.DataFrame) -> dict:
    """Rows with an equal value in a column: how many such sets and images there are, and examples, the largest first."""
    # Of several classes one each first, so that all are seen.
    sets = [some.index[some.groupby("label").cumcount().argsort(kind="stable")] for _, some in rows.groupby(column) if len(some) > 1]
    largest = sorted(sets, key=len, reverse=True)[:SETS]
    return {
        "count": len(sets),
        "images": sum(map(len, sets)),
        "sets": [[_card(table, row) for row in some[:MEMBERS]] for some in largest],
        "left": [len(some[MEMBERS:]) for some in largest],
    }


def _card(table: pd.DataFrame, row: int) -> dict:
    image = table.loc[row]
    size = f"{image.width} x {image.height} {image['mode']} {image.format}"
    return {"path": image.path, "label": image.label, "size": size}


def _uri(path: Path) -> str:
    image = open_image(path.read_bytes(), float("inf"))
    image = to_grey(image) if image.mode.startswith(("I", "F")) else ImageOps.exif_transpose(image).convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
