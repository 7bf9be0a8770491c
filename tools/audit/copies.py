"""The clusters of any images: merge and dedupe run on them in a scratch project of one source."""

import contextlib
import io
import shutil
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml
from tqdm import tqdm

from stages.catalog import CATALOG, CLUSTERS, read_table
from stages.dedupe.__main__ import main as dedupe
from stages.merge.__main__ import REJECTED
from stages.merge.__main__ import main as merge
from tools.audit.files import Files, shown

ROOT = Path(__file__).parents[2]
SOURCE, FOLDER = "folder", "images"  # names in the scratch project, where the files are numbered: any name of a file will do


class Clusters(NamedTuple):
    """table: of the images that decoded, path, side, label, folder, sha256, width, height, mode, format, cluster, group, kept, copy, orientation, patient
    and copy_of, the path of the kept one of which each other is a copy; thumbnails: uint8 [N, S, S], row by row; rejected: path and what merge said.
    """

    table: pd.DataFrame
    thumbnails: np.ndarray
    rejected: pd.DataFrame


def find_clusters(files: Files, work: Path) -> Clusters:
    """Run merge and dedupe in the empty folder work, with the params of the checkout. Raises SystemExit where no image decodes."""
    _lay_out(files, work)
    with contextlib.chdir(work):
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                merge()
            except SystemExit:  # max_rejected allows all but all of them
                if not REJECTED.is_file():
                    raise
                path, reason = files.images.path[0], read_table(REJECTED).reason[0]
                raise SystemExit(f"none of the {len(files.images)} images can be read, such as {shown(path)}: {reason}") from None
            dedupe()
        table = read_table(CATALOG)[["image_id", "sha256", "width", "height", "mode", "format"]]
        table = table.merge(read_table(CLUSTERS), on="image_id", validate="one_to_one")
        thumbnails, rejected = np.load(CATALOG.with_name("thumbnails.npy")), read_table(REJECTED)
    table, rejected = (_with_files(rows, files) for rows in (table, rejected))
    kept = table[table.kept].set_index("cluster").path
    table["copy_of"] = table.cluster.map(kept).where(~table.kept, "")
    return Clusters(table, thumbnails, rejected[["path", "reason"]])


def _with_files(rows: pd.DataFrame, files: Files) -> pd.DataFrame:
    numbers = [int(image_id.rpartition("/")[2]) for image_id in rows.image_id]
    return rows.drop(columns="image_id").join(files.images.iloc[numbers].set_axis(rows.index))


def _lay_out(files: Files, work: Path) -> None:
    (work / "data/raw").mkdir(parents=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["data"] = {"sources": [SOURCE], "labels": {}}
    params["merge"]["max_rejected"] = len(files.images)
    archive = {"slug": "your/images", "version": 1, "title": ""}
    registry = {SOURCE: {"archive": archive, "licence": "", "attribution": "", "folders": {"labels": {"image": [FOLDER]}}}}
    texts = {
        "params.yaml": yaml.safe_dump(params),
        "data/sources.yaml": yaml.safe_dump(registry),
        "data/annotations.csv": "sha256,patient,plane\n",
        "data/corrections.csv": "sha256,label\n",
    }
    for name, text in texts.items():
        (work / name).write_text(text, encoding="utf-8")
    with zipfile.ZipFile(work / f"data/raw/{SOURCE}.zip", "w") as archive:
        for number, path in enumerate(tqdm(files.images.path, unit=" images", desc="read", disable=None)):
            info = zipfile.ZipInfo(f"{FOLDER}/{number:09}")
            info.file_size = (files.base / path).stat().st_size
            with (files.base / path).open("rb") as file, archive.open(info, "w") as member:
                shutil.copyfileobj(file, member)
