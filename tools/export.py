"""Pack the trained models into one folder, export/, from which `python -m stages.predict` works anywhere.

It holds the weights of every fold and seed (safetensors), package.json (labels, preprocessing, calibration), likeness.safetensors (planes,
and what the training pictures look like), model.onnx (the calibrated ensemble) and README.md, the model card.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import save
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from stages.catalog import CALIBRATION, CATALOG, CLUSTERS, DEMONSTRATION, FOLDS, MODELS, PREDICTIONS, read_table
from stages.demonstration import is_demonstration
from stages.gradients import gradients
from stages.params import load_params
from stages.predict.package import PACKAGE, load

CARD = Path("metrics/model_card.md")
UNLIKE = 0.005  # share of pictures of unseen patients that the warning may take for something else
OPSET = 18


def main() -> None:
    needed = [MODELS / "model.json", PREDICTIONS, CALIBRATION, CATALOG, CLUSTERS, DEMONSTRATION, CARD]
    if missing := [str(path) for path in needed if not path.exists()]:
        sys.exit(f"{', '.join(missing)}: not there; run `dvc repro` first")
    shutil.rmtree(PACKAGE, ignore_errors=True)
    PACKAGE.mkdir()
    for file in sorted(MODELS.glob("*.safetensors")):
        shutil.copyfile(file, PACKAGE / file.name)  # and not its mode: a package is for others to read
    planes, arrays = fit_likeness()
    (PACKAGE / "likeness.safetensors").write_bytes(save(arrays))
    params = load_params()
    about = json.loads((MODELS / "model.json").read_text(encoding="utf-8")) | {
        "geometry": params.preprocess.geometry,
        "flips": params.evaluate.flips,
        "zoom": params.evaluate.zoom,
        "folds": read_table(PREDICTIONS).fold.unique().tolist(),
        **json.loads(CALIBRATION.read_text(encoding="utf-8")),
        "planes": planes,
        "sources": params.data.sources,
        "demonstration": is_demonstration(),
    }
    (PACKAGE / "package.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(CARD, PACKAGE / "README.md")
    try:
        onnx = f"ONNX and torch differ by {export_onnx():.1e} at most"
    except Exception as error:  # whatever of this network the exporter or the runtime does not know
        (PACKAGE / "model.onnx").unlink(missing_ok=True)
        cause = error.__cause__ or error  # the exporter's own words are a page of advice
        reason = "".join(filter(str.isprintable, " ".join(str(cause).split())))
        onnx = f"without model.onnx, since this network cannot be exported to ONNX ({type(cause).__name__}: {reason:.120}); the rest is complete"
    print(f"{PACKAGE}/: {sum(file.stat().st_size for file in PACKAGE.iterdir()) / 1e6:.0f} MB; {onnx}")


def fit_likeness() -> tuple[list[str], dict[str, np.ndarray]]:
    """Names of the planes, and the arrays of stages.predict.likeness.Likeness, from the distinct pictures that folds.csv uses."""
    clusters = read_table(CLUSTERS)
    used = clusters.image_id.isin(read_table(FOLDS).image_id).to_numpy()
    features, table = gradients(np.load(CATALOG.with_name("thumbnails.npy"), mmap_mode="r")[used]), clusters[used]

    gaussian = LedoitWolf().fit(features)
    distances = np.empty(len(features))
    for train, held_out in GroupKFold(min(5, table.group.nunique())).split(features, groups=table.group):
        fitted = LedoitWolf().fit(features[train])
        distances[held_out] = fitted.mahalanobis(features[held_out])
    arrays = {
        "mean": gaussian.location_,
        "precision": gaussian.precision_,
        "farthest": np.quantile(distances, [1 - UNLIKE]),
        **_plane_map(features, table),
    }
    planes = sorted(table.plane[table.plane != ""].unique()) if len(arrays["bias"]) else []
    return planes, {name: np.ascontiguousarray(values, np.float64) for name, values in arrays.items()}


def _plane_map(features: np.ndarray, table: pd.DataFrame) -> dict[str, np.ndarray]:
    # Scaling, principal components and logistic regression are linear, one after another: one matrix says it all.
    known = table.plane_source.isin(["annotated", "propagated"]).to_numpy() & (table.plane != "").to_numpy()
    if table.plane[known].nunique() < 3:
        return {"weights": np.zeros((0, features.shape[1])), "bias": np.zeros(0)}
    scale, reduction, regression = (
        step for _, step in classifier(known.sum()).fit(features[known], table.plane[known].to_numpy(str)).steps
    )
    weights = regression.coef_ @ reduction.components_ / scale.scale_
    bias = regression.intercept_ - regression.coef_ @ reduction.components_ @ reduction.mean_ - weights @ scale.mean_
    return {"weights": weights, "bias": bias}


def classifier(pictures: int) -> Pipeline:
    """What tells planes apart by gradients, for so many pictures to learn from."""
    reduction = PCA(min(100, pictures // 2), svd_solver="randomized", random_state=0)
    return make_pipeline(StandardScaler(), reduction, LogisticRegression(C=0.1, max_iter=500))


def export_onnx() -> float:
    """Write export/model.onnx, pictures [N, 1, S, S] (grey, 0 to 255) -> probabilities [N, K]; the largest difference from torch's."""
    import onnxruntime

    package = load(PACKAGE)
    size = package.about["image_size"]
    network = package.network.to("cpu")
    example = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (2, 1, size, size)).astype(np.float32))
    torch.onnx.export(
        network,
        (example,),
        PACKAGE / "model.onnx",
        input_names=["pictures"],
        output_names=["probabilities"],
        dynamic_shapes={"grey": {0: torch.export.Dim("pictures")}},
        opset_version=OPSET,
        external_data=False,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(PACKAGE / "model.onnx", providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = network(example).numpy()
    return float(np.abs(session.run(None, {"pictures": example.numpy()})[0] - expected).max())


if __name__ == "__main__":
    main()
