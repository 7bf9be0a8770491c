"""Recipes: what a published system, or one of ours, sets differently from params.yaml, and the figures that were published for it."""

import difflib
import itertools
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from stages.params import Number, Positive, Section, mistakes

FOLDER = Path("recipes")
RUNS, RESULTS = Path("leaderboard/runs"), Path("leaderboard/results")  # <recipe>-<protocol>/ and <recipe>-<protocol>.json
HONEST = FOLDER / "honest.yaml"
PARTS = ("demo", "honest")  # files there that are no system: they only hold params
PROTOCOLS = ("same", "honest")

Document = Literal["keras7023", "praveen", "franceschin", "bhandaru", "kazemi", "ours"]
Share = Annotated[Number, Field(ge=0, le=1)]


class Recipe(Section):
    """One system. Metrics are named as in metrics/summary.json, those of a class below its name; percentages are written as shares."""

    document: Document = Field(description="where it was published")
    table: str = Field(description="the table or sentence in the document")
    params: dict[str, Any] = Field(description="dotted key of params.yaml -> value, under the authors' own protocol")
    honest: dict[str, Any] = Field(default={}, description="what the honest protocol needs besides recipes/honest.yaml")
    reported: dict[str, Share | dict[str, Share]] = Field(default={}, description="metric -> figure, or class -> metric -> figure")
    losses: dict[Literal["train_loss", "validation_loss"], Positive] = Field(default={}, description="cross-entropies")
    seconds_per_epoch: Positive | None = Field(default=None, description="published time, on the authors' machine")
    note: str = Field(default="", description="what is not repeated as published, and what had to be assumed")
    weights_needed: str = Field(default="", description="the pretrained weights that have to come from a hub")
    missing: str = Field(default="", description="what the pipeline cannot do yet and the system needs")

    def changes(self, protocol: str) -> dict[str, Any]:
        """Dotted key -> value, all that it sets differently from params.yaml under a protocol."""
        honest = yaml.safe_load(HONEST.read_text(encoding="utf-8"))["params"] | self.honest if protocol == "honest" else {}
        return self.params | honest

    def metrics(self) -> dict[str, float | None]:
        """Metric, or `<class>.<metric>`, -> published figure; accuracy comes first, None if it was not published."""
        flat = {"accuracy": None}
        for name, value in self.reported.items():
            flat |= {f"{name}.{metric}": figure for metric, figure in value.items()} if isinstance(value, dict) else {name: value}
        return flat | self.losses | ({"seconds_per_epoch": self.seconds_per_epoch} if self.seconds_per_epoch else {})


class Choice(Section):
    """A part of several systems: its title and what it adds to their params, honest, note and missing."""

    title: str
    params: dict[str, Any] = {}
    honest: dict[str, Any] = {}
    note: str = ""
    missing: str = ""


class Grid(Section):
    """A system for every combination of one choice of each kind. Where two of its choices set the same key, the later kind's holds."""

    document: Document
    choices: dict[str, dict[str, Choice]] = Field(description="kind -> name -> choice")

    def recipes(self, prefix: str) -> dict[str, Recipe]:
        """`<prefix>-<name of a choice>-...` -> recipe."""
        recipes = {}
        for combination in itertools.product(*(kind.items() for kind in self.choices.values())):
            names, chosen = zip(*combination, strict=True)
            recipes["-".join((prefix, *names))] = Recipe(
                document=self.document,
                table="; ".join(choice.title for choice in chosen),
                params={key: value for choice in chosen for key, value in choice.params.items()},
                honest={key: value for choice in chosen for key, value in choice.honest.items()},
                note=" ".join(filter(None, (choice.note for choice in chosen))),
                missing="; ".join(filter(None, (choice.missing for choice in chosen))),
            )
        return recipes


def load_recipes(folder: Path = FOLDER) -> dict[str, Recipe]:
    """Every system's recipe by name, sorted; exits with one line a mistake.

    A file there is one system, named as the file is, or a grid of them.
    """
    recipes = {}
    for path in folder.glob("*.yaml"):
        if path.stem not in PARTS:
            recipes |= _load(path)
    return dict(sorted(recipes.items()))


def load_recipe(name: str, folder: Path = FOLDER) -> Recipe:
    """One recipe by name; exits with the closest names when there is none."""
    recipes = load_recipes(folder)
    if name not in recipes:
        close = difflib.get_close_matches(name, recipes, n=5)
        sys.exit(f"There is no recipe {name!r}; " + (f"did you mean {', '.join(close)}?" if close else f"see {folder}/"))
    return recipes[name]


def _load(path: Path) -> dict[str, Recipe]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if "choices" in content:
            return Grid.model_validate(content).recipes(path.stem)
        return {path.stem: Recipe.model_validate(content)}
    except ValidationError as error:
        sys.exit("\n".join(mistakes(path, error)))
    except yaml.YAMLError as error:
        sys.exit(f"{path}: {' '.join(str(error).split())}")
