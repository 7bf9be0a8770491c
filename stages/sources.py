"""The registry of data sets, data/sources.yaml."""

import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from stages.params import Section, mistakes, read_yaml


class Edition(Section):
    """One known content of a data set; the digest is that of download.archive.Contents."""

    members: int = Field(description="files in the archive")
    bytes: int | None = Field(default=None, description="their total size")
    digest: str | None = Field(default=None, description="sha256 of the member list")
    note: str = ""


class Phantom(Section):
    """Size of the synthetic set that stands in for a download."""

    patients_per_class: int = Field(ge=5)
    seed: int


class Archive(Section):
    """Where the files come from; what the download stage depends on."""

    slug: str = Field(pattern=r"^[^/]+/[^/]+$", description="<owner>/<name> on Kaggle; also the folder to look for in a mirror")
    version: int
    title: str
    editions: list[Edition] = Field(default=[], description="contents that are accepted; empty accepts any")
    phantom: Phantom | None = Field(default=None, description="generated, not downloaded")


class Folders(Section):
    """What the folders and file names in the archive mean; what the merge stage depends on."""

    labels: dict[str, list[str]] = Field(description="class -> folder names that mean it, whatever their case and blanks")
    published: dict[Literal["train", "test"], list[str]] = Field(
        default={}, description="train/test -> folder names of the author's own split, whatever their case"
    )
    augmented: str | None = Field(
        default=None,
        description="regular expression of copies that the set ships of its own pictures; group 1 + group 2 is the original's member path",
    )

    @model_validator(mode="after")
    def _one_meaning(self):
        for what, meaning in (("labels", self.labels), ("published", self.published)):
            means = {}
            for name, aliases in meaning.items():
                for alias in aliases:
                    if means.setdefault(folder_name(alias), name) != name:
                        raise ValueError(
                            f"{what}: the folder {alias!r} means both {means[folder_name(alias)]} and {name}; leave it under one"
                        )
        return self


@lru_cache(maxsize=4096)
def folder_name(name: str) -> str:
    """A folder's name as it is compared: whatever its case, its blanks and its form of Unicode (macOS takes letters and accents apart).

    >>> folder_name(" No  Tumor") == folder_name("no tumor")
    True
    """
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


class Source(Section):
    licence: str
    attribution: str
    archive: Archive
    folders: Folders

    @model_validator(mode="before")
    @classmethod
    def _beside_the_archive(cls, entry: Any) -> Any:
        """What entries of one's own had in archive until a mended typo there meant a download."""
        if not isinstance(entry, dict) or not isinstance(entry.get("archive"), dict):
            return entry
        archive = dict(entry["archive"])
        moved = {name: archive.pop(name) for name in ("licence", "attribution") if name in archive and name not in entry}
        return entry | moved | {"archive": archive}


def load_sources(path: str | Path = "data/sources.yaml") -> dict[str, Source]:
    """Read and check the registry, name -> Source."""
    try:
        sources = TypeAdapter(dict[str, Source]).validate_python(read_yaml(path))
    except ValidationError as error:
        raise SystemExit("\n".join(mistakes(path, error))) from None
    if odd := [name for name in sources if not re.fullmatch(r"\w[\w.-]*", name)]:
        raise SystemExit(
            f"{path}: {odd[0]!r} is no name for a source; letters, digits, '_', '-' and '.' are, for files and commands have it"
        )
    return sources


def load_source(name: str) -> Source:
    """One source by name; exits with the known names when it is not registered."""
    sources = load_sources()
    if name not in sources:
        raise SystemExit(f"data.sources: {name!r} is not in data/sources.yaml; it knows {', '.join(sources)}")
    return sources[name]
