"""Classify pictures with the trained models. Research software, no medical device: it must not decide about a patient.

python -m stages.predict IMAGE... takes image files, folders of them and zips. A file that is no usable picture is a line with an
error, and the exit code is 1 only if there was nothing else.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

from tqdm import tqdm

from stages.predict import package
from stages.predict.inputs import read_all
from stages.predict.predictor import predict, set_name


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stages.predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="an image file, a folder, or a zip")
    parser.add_argument(
        "--package", type=Path, default=package.PACKAGE, help="the model package that `make export` wrote (default: %(default)s)"
    )
    parser.add_argument(
        "--format", choices=("table", "csv", "json"), default="table", help="json: one object a line (default: %(default)s)"
    )
    parser.add_argument(
        "--gradcam", type=Path, metavar="FOLDER", help="write a picture of what the networks looked at for each image, there"
    )
    arguments = parser.parse_args()

    if arguments.gradcam:
        try:
            arguments.gradcam.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            sys.exit(f"--gradcam: {error.filename} is a file, and has to be a folder")
    loaded = package.load(arguments.package)
    classes = loaded.about["classes"]
    sets = [set_name(coverage) for coverage in loaded.thresholds]
    write = {"table": _table, "csv": _csv, "json": _json}[arguments.format](classes, sets)
    good = count = 0
    for row in tqdm(predict(loaded, read_all(arguments.images), arguments.gradcam), unit="picture", desc="predict", disable=None):
        count, good = count + 1, good + (not row["error"])
        write(row)
        sys.stdout.flush()
    sys.exit(not good if count else f"no files in {', '.join(map(str, arguments.images))}")


def _table(classes: list[str], sets: list[str]):
    def write(row: dict) -> None:
        if row["error"]:
            text = f"error: {row['error']}"
        else:
            others = ", ".join(f"{name} {row[f'p_{name}']:.2f}" for name in classes if name != row["class"])
            text = f"{row['class']} {row['probability']:.2f} ({others}); {row['plane'] or 'plane unknown'}"
            if unsure := [name for name in sets if "|" in row[name]]:
                text += f"; {unsure[0].removeprefix('set_')} % set: {row[unsure[0]].replace('|', ', ')}"
        print(f"{row['name']}: {text}" + (f"; WARNING: {row['warning']}" if row.get("warning") else ""))

    return write


def _csv(classes: list[str], sets: list[str]):
    columns = ["name", "class", "probability", *(f"p_{name}" for name in classes), *sets, "plane", "warning", "gradcam", "error"]
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    return writer.writerow


def _json(classes: list[str], sets: list[str]):
    return lambda row: print(json.dumps(row))


if __name__ == "__main__":
    main()
