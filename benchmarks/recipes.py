"""Recipes: what a published system, or one of ours, sets differently from params.yaml, and the figures that were published for it."""

import difflib
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from stages.params import Number, Positive, Section, mistakes

FOLDER = Path("recipes")
HONEST = FOLDER / "honest.yaml"
PARTS = ("demo", "honest")  # files there that are no system: they only hold params
PROTOCOLS = ("same", "honest")

Share = Annotated[Number, Field(ge=0, le=1)]


class Recipe(Section):
    """One system. Figures are named and nested as in metrics/summary.json; percentages are written as shares."""

    document: Literal["keras7023", "praveen", "franceschin", "bhandaru", "kazemi", "ours"] = Field(description="where it was published")
    table: str = Field(description="the table or sentence in the document")
    params: dict[str, Any] = Field(description="dotted key of params.yaml -> value, under the authors' own protocol")
    honest: dict[str, Any] = Field(default={}, description="what the honest protocol needs besides recipes/honest.yaml")
    reported: dict[str, Share | dict[str, Share]] = Field(default={}, description="metric -> figure, or class -> metric -> figure")
    seconds_per_epoch: Positive | None = Field(default=None, description="published time, on the authors' machine")
    note: str = Field(default="", description="what is not repeated as published, and what had to be assumed")
    weights_needed: str = Field(default="", description="the pretrained weights that have to come from a hub")
    missing: str = Field(default="", description="what the pipeline cannot do yet and the system needs")

    def figures(self) -> dict[str, float | None]:
        """Metric, or `<class>.<metric>`, -> published figure; accuracy comes first, None if it was not published."""
        flat = {"accuracy": None}
        for name, value in self.reported.items():
            flat |= {f"{name}.{metric}": figure for metric, figure in value.items()} if isinstance(value, dict) else {name: value}
        return flat | ({"seconds_per_epoch": self.seconds_per_epoch} if self.seconds_per_epoch else {})


def load_recipes(folder: Path = FOLDER) -> dict[str, Recipe]:
    """Every system's recipe by name, sorted; exits with one line a mistake."""
    return {name: _load(folder / f"{name}.yaml") for name in _names(folder)}


def load_recipe(name: str, folder: Path = FOLDER) -> Recipe:
    """One recipe by name; exits with the closest names when there is none."""
    path = folder / f"{name}.yaml"
    if name in PARTS or not path.is_file():
        close = difflib.get_close_matches(name, _names(folder), n=5)
        sys.exit(f"There is no recipe {name!r}; " + (f"did you mean {', '.join(close)}?" if close else f"see {folder}/"))
    return _load(path)


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem not in PARTS)


def _load(path: Path) -> Recipe:
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text()))
    except ValidationError as error:
        sys.exit("\n".join(mistakes(path, error)))
    except yaml.YAMLError as error:
        sys.exit(f"{path}: {' '.join(str(error).split())}")
