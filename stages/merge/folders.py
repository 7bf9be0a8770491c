"""What folder and file names say: label, published split, and which file is an augmented copy of which."""

import re
from collections.abc import Container

import pandas as pd

from stages.sources import Folders, folder_name


def read_folders(table: pd.DataFrame, folders: Folders, originals: Container[str]) -> pd.DataFrame:
    """Add label, published_split and augmented_from to the rows of one source.

    The label is that of the nearest folder, upwards from the file, whose name is one of the registry's aliases; a
    picture without one gets the reason "no label". originals: the members that a file may be a copy of.
    """
    labels = {folder_name(alias): label for label, aliases in folders.labels.items() for alias in aliases}
    splits: dict[str, str] = {folder_name(alias): split for split, aliases in folders.published.items() for alias in aliases}
    table = table.copy()
    table["label"] = [_nearest(member, labels) for member in table.member]
    table["published_split"] = [_nearest(member, splits) for member in table.member]
    places = zip(table.source, table.member, strict=True)
    table["augmented_from"] = [_original(source, member, folders.augmented, originals) for source, member in places]
    table.loc[(table.reason == "") & (table.label == ""), "reason"] = "no label"
    return table


def _nearest(member: str, meaning: dict[str, str]) -> str:
    names = [folder_name(name) for name in member.split("/")[:-1]]
    return next((meaning[name] for name in reversed(names) if name in meaning), "")


def _original(source: str, member: str, pattern: str | None, originals: Container[str]) -> str:
    match = re.match(pattern, member) if pattern else None
    return f"{source}/{match[1]}{match[2]}" if match and match[1] + match[2] in originals else ""
