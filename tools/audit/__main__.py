"""Look for what is wrong with an image data set before a model is trained on it: any folder, without labels or a registry entry.

python -m tools.audit FOLDER [OTHER ...]

Reported are copies, even mirrored, turned, cut or encoded again; close neighbours; copies across the folders (or, of one folder, across its
sub-folders train, test, val, ...); the same image under two class folders; unreadable and surplus files; and whether sizes tell the class.
Written are audit.html, audit.json and images.csv, a row per image. The folders are only read, unless --move is given.
Exit status: 0 nothing found; 1 copies across folders, an image under two classes, or unreadable files; 2 the command cannot be run.
"""

import argparse
import shutil
import sys
from pathlib import Path

import pandas as pd

from stages.catalog import write_metrics
from stages.params import load_params
from tools.audit.copies import ROOT, Clusters, find_clusters
from tools.audit.files import Files, explain, find_files, shown
from tools.audit.findings import count_kinds, describe_sizes, find_conflicts, find_leaks
from tools.audit.move import move, plan_moves
from tools.audit.page import write_page

COLUMNS = [
    "path",
    "side",
    "label",
    "cluster",
    "group",
    "kept",
    "copy",
    "orientation",
    "copy_of",
    "conflict",
    "width",
    "height",
    "mode",
    "format",
]


def main() -> None:
    arguments = _arguments()
    try:
        found = _audit(arguments)
    except SystemExit as refusal:  # of a stage, too: 1 is for what is found
        print(refusal, file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"{error.filename or arguments.output}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    sys.exit(found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="+", help="a folder with images, at any depth")
    parser.add_argument("--output", type=Path, default=Path("audit"), help="folder for the results (default: %(default)s)")
    parser.add_argument("--move", metavar="DIR", type=Path, help="list the copies that would be moved to DIR, with their relative paths")
    parser.add_argument("--yes", action="store_true", help="with --move: move them; nothing is overwritten")
    arguments = parser.parse_args()
    if arguments.yes and not arguments.move:
        parser.error("--yes is for --move DIR")
    return arguments


def _audit(arguments: argparse.Namespace) -> bool:
    folders = _check(arguments)
    files = find_files(folders)
    if not len(files.images):
        raise SystemExit(f"{shown(', '.join(map(str, arguments.folders)))}: no images in it{_others(files)}")
    params = load_params(ROOT / "params.yaml")
    work = arguments.output / ".work"
    shutil.rmtree(work, ignore_errors=True)  # what a kill left there
    try:
        clusters = find_clusters(files, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    table = clusters.table
    table["conflict"] = find_conflicts(table)
    leaks, pairs = find_leaks(clusters)

    findings = {
        "folders": [shown(str(folder)) for folder in arguments.folders],
        "images": len(table),
        "distinct": table.cluster.nunique(),
        "copies": count_kinds(table),
        "leaks": leaks,
        "conflicts": table.cluster[table.conflict].nunique(),
        "groups": table.group.nunique(),
        "sizes": describe_sizes(table),
        "unreadable": _rows(_unreadable(files, clusters, params.merge.max_megapixels)),
        "surplus": _rows(files.surplus),
        "params": params.dedupe.model_dump(include={"same", "neighbour"}),
    }
    _write(arguments.output, findings, files, table, pairs)
    _tell(findings, arguments.output)
    if arguments.move:
        _move(plan_moves(table, files.base, arguments.move.absolute()), arguments)
    return bool(any(leak["copies"] for leak in leaks) or findings["conflicts"] or findings["unreadable"])


def _check(arguments: argparse.Namespace) -> list[Path]:
    """The folders, absolute; SystemExit with one line where they cannot be used."""
    folders = []
    for folder in arguments.folders:
        if not folder.is_dir():
            raise SystemExit(f"{shown(str(folder))}: {'not a folder' if folder.exists() else 'no such folder'}")
        real = folder.resolve()
        for other in folders:
            if real == other:
                raise SystemExit(f"{shown(str(folder))} is given twice")
            if real.is_relative_to(other) or other.is_relative_to(real):
                inner, outer = sorted((real, other), key=lambda path: len(path.parts), reverse=True)
                raise SystemExit(f"{shown(str(inner))} is inside {shown(str(outer))}, which is given too: give one of them")
        folders.append(real)
    for name, target in (("--output", arguments.output), ("--move", arguments.move)):
        for folder in folders:
            if target and target.resolve().is_relative_to(folder):
                raise SystemExit(f"{name} {shown(str(target))} is inside {shown(str(folder))}: give another folder")
    return folders


def _others(files: Files) -> str:
    if not len(files.surplus):
        return ""
    return "; there are: " + ", ".join(f"{count} x {reason}" for reason, count in files.surplus.reason.value_counts().head(3).items())


def _unreadable(files: Files, clusters: Clusters, max_megapixels: float) -> pd.DataFrame:
    rejected = clusters.rejected.assign(
        reason=[explain(files.base / row.path, row.reason, max_megapixels) for row in clusters.rejected.itertuples()]
    )
    return pd.concat([files.unreadable, rejected]).sort_values("path")


def _rows(table: pd.DataFrame) -> list[dict]:
    return table.assign(path=table.path.map(shown)).to_dict("records")


def _write(output: Path, findings: dict, files: Files, table: pd.DataFrame, pairs: list[pd.DataFrame]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    write_metrics(findings, output / "audit.json")
    rows = table.sort_values("path")[COLUMNS].rename(columns={"label": "class"})
    text = rows.assign(**{name: rows[name].map(shown) for name in ("path", "side", "class", "copy_of")})
    text.to_csv(output / "images.csv", index=False, lineterminator="\n", encoding="utf-8")
    write_page(output / "audit.html", findings, files, table, pairs)


def _tell(findings: dict, output: Path) -> None:
    copies = ", ".join(f"{count:,} {kind}" for kind, count in findings["copies"].items()) or "none"
    print(f"images: {findings['images']:,}, distinct: {findings['distinct']:,}; copies: {copies}")
    for leak in findings["leaks"]:
        share = f"{leak['copies']:,} of {leak['images']:,} ({leak['share']:.1%})"
        print(f"{shown(leak['side'])} images that are also in {shown(leak['other'])}: {share}, alike one there: {leak['alike']:,} more")
    print(f"distinct images under more than one class: {findings['conflicts']:,}")
    print(f"unreadable files: {len(findings['unreadable']):,}, surplus: {len(findings['surplus']):,}")
    if trees := findings["sizes"]["trees"]:
        print(
            f"size and mode alone tell the class of {trees['accuracy']:.1%} of the images (most frequent class: {trees['most_frequent']:.1%})"
        )
    print(f"all of it: {shown(str(output / 'audit.html'))}; a row per image: {shown(str(output / 'images.csv'))}")


def _move(moves: list[tuple[Path, Path]], arguments: argparse.Namespace) -> None:
    if arguments.yes:
        move(moves)
        print(f"moved {len(moves):,} copies to {shown(str(arguments.move))}")
        return
    for path, target in moves:
        print(f"{shown(str(path))} -> {shown(str(target))}")
    print(f"would move {len(moves):,} copies; --yes moves them")


if __name__ == "__main__":
    main()
