"""Every knob of the pipeline, declared once with its unit and meaning, and read from params.yaml.

`python -m stages.params` checks params.yaml and prints this table.
"""

import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator


def _number(value):
    # YAML 1.1 reads 1e-06, which is what `dvc exp run -S` writes, as a string.
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    return value


def _distinct(values: list) -> list:
    if len(set(values)) < len(values):
        raise ValueError("no value may stand there twice")
    return values


def _freezing(rule: str) -> str:
    if not re.fullmatch(r"none|backbone|(first|all but last) [1-9][0-9]*", rule):
        raise ValueError('there are "none", "backbone", "first N" and "all but last N", with N from 1')
    return rule


def _backbone(name: str) -> str:
    # As pages of the hub write timm's models.
    name = re.sub(r"^(hf[-_]hub:)?timm/", "", name)
    if ":" in name or "/" in name:
        raise ValueError(
            "other repositories of a hub are not asked: take timm's name of the architecture, and model.weights for their file"
        )
    return name


Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_number)]
Fraction = Annotated[Number, Field(ge=0, lt=1)]
Positive = Annotated[Number, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(_distinct)]
Name = Annotated[str, Field(min_length=1)]
Backbone = Annotated[Name, AfterValidator(_backbone)]
Freezing = Annotated[str, AfterValidator(_freezing)]
Head = Annotated[str, Field(pattern=r"^(linear|pooled|svm|knn|[1-9][0-9]*)$"), BeforeValidator(str)]  # YAML reads 128 as a number
Plane = Literal["axial", "coronal", "sagittal"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Data(Section):
    sources: Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)] = Field(
        description="data sets of data/sources.yaml to use"
    )
    labels: dict[str, str] = Field(description="labels to rename or join, such as {glioma: tumor, meningioma: tumor}; the others stay")


class Merge(Section):
    max_rejected: int = Field(ge=0, description="unreadable or unlabelled pictures that are tolerated (count)")
    max_megapixels: Positive = Field(description="a picture that declares more is refused (decompression bomb)")


class Dedupe(Section):
    same: Fraction = Field(
        description="agreement of fine detail, a correlation, that two images must reach to be the same, if nothing in them is displaced either"
    )
    neighbour: Fraction = Field(
        description="agreement of fine detail, even in the tenth of the image that agrees worst, from which two images stay on one side of a split"
    )
    on_conflict: Literal["drop", "majority", "error"] = Field(
        description="a picture that occurs under several labels: drop it, take the majority label (drop on a tie), or stop"
    )
    exact_search_up_to: Count = Field(
        description="images up to which each is looked for among all, less similar ones and parts of heads as well; beyond, among the most similar ones"
    )
    memory: Positive = Field(
        description="GiB that dedupe takes: details that have no room in it are decoded again when they are compared; without any it takes 0.3 GiB and 500 bytes an image"
    )

    @model_validator(mode="after")
    def _ordered(self):
        if self.neighbour > self.same:
            raise ValueError("neighbour must not be above same: the same picture is its own neighbour")
        return self


class Split(Section):
    protocol: Literal["kfold", "holdout", "published", "source"] = Field(description="where the test pictures come from")
    group_by: Literal["patient", "cluster", "none"] = Field(description="what must not stand on both sides")
    distinct: bool = Field(description="one copy of each picture; false keeps every copy, as published protocols did")
    augmented: bool = Field(description="admit the augmented copies that a set ships, to training only if grouped")
    folds: Annotated[int, Field(ge=2)] = Field(description="folds of kfold")
    within: Annotated[int, Field(ge=0)] | None = Field(
        description="a fold of kfold whose test pictures are left out: the folds are made of the others, to choose settings on; null: of all"
    )
    test_fraction: Fraction = Field(description="share of pictures that holdout tests on")
    validation_fraction: Annotated[Fraction, Field(gt=0)] = Field(
        description="share of the pictures left for training that choose the epoch, and on which the temperature is fitted"
    )
    train_sources: list[str] = Field(description="sources that protocol source trains on")
    test_sources: list[str] = Field(description="sources that protocol source tests on")
    train_planes: list[Plane] = Field(description="planes of the training pictures: axial, coronal, sagittal; none named, every picture")
    test_planes: list[Plane] = Field(description="planes of the test pictures, likewise")
    seed: int = Field(ge=0, description="of the order in which equal units are placed")

    @model_validator(mode="after")
    def _within_a_fold(self):
        if self.within is not None and (self.protocol != "kfold" or self.within >= self.folds):
            raise ValueError(f"within is the number of a fold of kfold, 0 to {self.folds - 1}, or null")
        return self


class Balance(Section):
    method: Literal["none", "planes", "weights"] = Field(
        description="planes: add shifted and rotated copies until the planes of a class match the others'; weights: sample them more often"
    )
    shift: Count = Field(description="shift of a copy along x (+) and y (-), pixels of the stored picture")
    rotations: list[Number] = Field(description="rotations of a copy, degrees")


class Preprocess(Section):
    geometry: Literal["squash", "pad", "head"] = Field(description="how a picture becomes a square")


class Model(Section):
    backbone: Backbone = Field(description="a timm model, or torchvision.<name>")
    weights: Name = Field(
        description="auto (a package that carries them, else the hub), package, hub, none, or a .safetensors/.pth file, which DVC knows by "
        "its name alone: `dvc repro -f -s weights` reads one that changed"
    )
    image_size: Annotated[int, Field(ge=16)] = Field(description="side of the square input, pixels")
    freeze: Freezing = Field(description='"none", "backbone" (all but the head), "first N" or "all but last N" layers')
    head: Head = Field(
        description='"linear", or the width of a hidden layer between features and classifier (VGG then has no others), or "pooled" (VGG '
        'without any), or "svm" or "knn", '
        "which are fitted to the frozen features of plain pictures: of train only precision matters then"
    )
    dropout: Fraction = Field(description="dropout before the head")
    normalisation: Literal["backbone", "none"] = Field(
        description="backbone: pixels normalised by the mean and deviation that the backbone is made for; none: only scaled to 0..1"
    )

    @model_validator(mode="after")
    def _frozen(self):
        if self.head in ("svm", "knn") and self.freeze != "backbone":
            raise ValueError(f"head {self.head} is fitted to the features of a frozen network: set freeze to backbone")
        return self


class Augment(Section):
    mirror: bool = Field(description="mirror left to right, every second time")
    rotate: Annotated[Number, Field(ge=0)] = Field(description="largest rotation, degrees")
    translate: Fraction = Field(description="largest shift, share of the side")
    scale: Fraction = Field(description="largest enlargement or reduction, share")
    contrast: Fraction = Field(description="largest change of contrast and brightness, share")
    crop: Fraction = Field(
        description="smallest share of the area that a random crop, 3:4 to 4:3, leaves, which is enlarged to the whole; 0: no crops"
    )


# Knobs that are gone, at the values that did nothing: every params.yaml of before names them so, and is as good as without.
GONE = {"small_epochs": 0, "small_size": 128, "label_smoothing": 0, "class_weights": False, "patience": 0}


class Train(Section):
    epochs: Count = Field(description="passes over the training pictures")
    batch_size: Count = Field(description="pictures a step")
    optimizer: Literal["adamw", "adam", "sgd"] = Field(description="adamw, adam or sgd with momentum")
    lr: Positive = Field(description="peak learning rate")
    momentum: Fraction = Field(description="of sgd")
    epsilon: Positive = Field(description="of adamw and adam, added to the root of the second moment: 1e-8 in PyTorch, 1e-7 in Keras")
    weight_decay: Annotated[Number, Field(ge=0)] = Field(description="of the weights; biases and norms are not decayed")
    schedule: Literal["onecycle", "cosine", "step", "constant"] = Field(description="course of the learning rate")
    step_epochs: Count = Field(description="schedule step: epochs between two drops")
    step_factor: Positive = Field(description="schedule step: factor of a drop")
    ema_epochs: Annotated[Number, Field(ge=0)] = Field(
        description="about how many epochs the moving average of the weights, which is validated and kept, looks back; 0: the last weights"
    )
    keep: Literal["best", "last"] = Field(
        description="the epoch whose weights are kept: best, of the highest validation macro-F1, or the last one"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        description="of the forward pass; auto: bfloat16 where the hardware multiplies it natively"
    )
    augment: Augment
    seeds: Seeds = Field(
        description="of the new classifier, the order of the pictures, augmentation and dropout; every fold is trained once for each"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_gone(cls, values: Any) -> Any:
        return {key: value for key, value in values.items() if (key, value) not in GONE.items()} if isinstance(values, dict) else values


class Evaluate(Section):
    flips: bool = Field(description="average the probabilities of a picture and its mirror image")
    zoom: float = Field(
        ge=1, le=2, description="enlarge the middle of a picture so much, which resamples it as augmentation does; 1: as it is"
    )
    bins: Annotated[int, Field(ge=1, le=100)] = Field(description="bins of the reliability diagram and of ECE")


class Aggregate(Section):
    resamples: Count = Field(description="bootstrap resamples of groups")
    seed: int = Field(ge=0, description="of the bootstrap")


class Explain(Section):
    layer: Name = Field(description='whose Grad-CAM is shown: "auto", by the architecture, or the path of a module')
    pictures: Count = Field(description="test pictures to explain, at most, for each class and outcome (right, wrong)")


class Params(Section):
    data: Data
    merge: Merge
    dedupe: Dedupe
    split: Split
    balance: Balance
    preprocess: Preprocess
    model: Model
    train: Train
    evaluate: Evaluate
    aggregate: Aggregate
    explain: Explain


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check params.yaml; exit with one line a mistake, each naming its key."""
    try:
        return Params.model_validate(read_yaml(path))
    except ValidationError as error:
        sys.exit("\n".join(mistakes(path, error)))


def read_yaml(path: str | Path) -> Any:
    """What a YAML file says; exit with one line where it is none."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, a 32nd of May, ...
        sys.exit(f"{path}: {' '.join(str(error).split())}")


def mistakes(path: str | Path, error: ValidationError) -> list[str]:
    """One line a mistake in a YAML file, each naming its key."""
    return [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r:.80})" for e in error.errors()]


def _describe(section: type[Section], prefix: str = ""):
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _describe(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.description or ""


if __name__ == "__main__":
    load_params()
    for key, description in _describe(Params):
        print(f"{key:28} {description}")
