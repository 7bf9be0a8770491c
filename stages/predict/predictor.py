"""Pictures in, one row a picture out."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from stages.attention import attention, find_layer, overlay
from stages.calibrate.prediction_sets import members
from stages.device import pick_device
from stages.pixels import Undecodable, decode, is_blank, open_image, squash, to_square
from stages.predict.likeness import is_coloured
from stages.predict.package import Package

BATCH = 32
THUMBNAIL = 64  # the side that likeness was fitted with
MEGAPIXELS = 50
SYNTHETIC = "demonstration: these networks were trained on synthetic images"  # said with every answer
TINY = 64  # pixels: below, a picture holds less than a thumbnail


def predict(package: Package, pictures: Iterable[tuple[str, bytes | str]], gradcam: Path | None = None) -> Iterator[dict]:
    """A row for each (name, content), in order: name, class, probability, p_<class>..., set_<coverage>..., plane, warning, gradcam, error.

    set_95 holds the classes, joined by "|", of a set made to hold the true one for 95 of 100 images of new patients (stages.calibrate).

    content is an image file's bytes, or the reason why there are none. A row with an error has nothing else but its name.
    gradcam: a folder for pictures of what the networks looked at, their Grad-CAM for the predicted class averaged.
    """
    pictures, done = iter(pictures), 0
    while opened := [_open(name, content, package) for name, content in islice(pictures, BATCH)]:
        good = [picture for picture in opened if "error" not in picture]
        rows = _score(package, good) if good else []
        if gradcam and good:
            for number, (row, image) in enumerate(zip(rows, _explain(package, good, rows), strict=True), done + 1):
                row["gradcam"] = str(gradcam / f"{number:05}-{re.sub(r'[^A-Za-z0-9._-]+', '_', Path(row['name']).stem)[-60:]}.webp")
                Image.fromarray(image).save(row["gradcam"], quality=85)
            done += len(good)
        rows = iter(rows)
        for picture in opened:
            yield {"name": picture["name"], "error": picture["error"]} if "error" in picture else next(rows)


def set_name(coverage: str) -> str:
    """The key of the sets of this coverage: set_95 of "0.95"."""
    return f"set_{float(coverage) * 100:g}"


def _open(name: str, content: bytes | str, package: Package) -> dict:
    if isinstance(content, str):
        return {"name": name, "error": content}
    try:
        image = open_image(content, MEGAPIXELS)
        grey = decode(image)
        coloured = is_coloured(image)
    except Undecodable as reason:
        return {"name": name, "error": str(reason)}
    except Exception as error:  # convert() decodes, and any of Pillow's decoders may stumble over what it did not expect
        return {"name": name, "error": f"damaged: {type(error).__name__}"}
    thumbnail = squash(grey, THUMBNAIL)
    warnings = {"blank": is_blank(thumbnail), "colour picture": coloured, f"smaller than {TINY} pixels": min(image.size) < TINY}
    return {
        "name": name,
        "pixels": to_square(grey, package.about["image_size"], package.about["geometry"]),
        "thumbnail": thumbnail,
        "warnings": [warning for warning, applies in warnings.items() if applies],
    }


def _score(package: Package, pictures: list[dict]) -> list[dict]:
    classes = package.about["classes"]
    with torch.inference_mode():
        probabilities = package.network(_grey(pictures)).cpu().numpy()
    thumbnails = np.stack([picture["thumbnail"] for picture in pictures])
    far = package.likeness.distances(thumbnails) > package.likeness.farthest
    rows = []
    for picture, p, plane, unlike in zip(pictures, probabilities, package.likeness.plane(thumbnails), far, strict=True):
        warnings = [SYNTHETIC] * package.demonstration + picture["warnings"] + ["unlike the training pictures"] * bool(unlike)
        row = {
            "name": picture["name"],
            "class": classes[p.argmax()],
            "probability": round(float(p.max()), 4),
            **{f"p_{name}": round(float(value), 4) for name, value in zip(classes, p, strict=True)},
            **{set_name(coverage): "|".join(np.array(classes)[members(p, least)]) for coverage, least in package.thresholds.items()},
            "plane": plane,
            "warning": "; ".join(warnings),
            "gradcam": "",
            "error": "",
        }
        rows.append(row)
    return rows


def _explain(package: Package, pictures: list[dict], rows: list[dict]) -> list[np.ndarray]:
    predicted = np.array([package.about["classes"].index(row["class"]) for row in rows])
    inputs = package.network.normalised(_grey(pictures))
    size = package.about["image_size"]
    maps = np.mean([attention(model, find_layer(model, size), inputs, predicted) for model in package.network.models], axis=0)
    return [overlay(picture["pixels"], seen) for picture, seen in zip(pictures, maps, strict=True)]


def _grey(pictures: list[dict]) -> torch.Tensor:
    return torch.from_numpy(np.stack([picture["pixels"] for picture in pictures])[:, None]).to(pick_device()).float()
