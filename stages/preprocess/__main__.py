"""Bring every picture that some fold uses to one size and geometry, in one array."""

import numpy as np

from stages.catalog import CATALOG, CLUSTERS, INDEX, PIXELS, SAMPLES, read_table, write_metrics, write_table
from stages.params import load_params
from stages.preprocess.giveaway import giveaway
from stages.preprocess.render import render


def main() -> None:
    params = load_params()
    size, geometry = params.model.image_size, params.preprocess.geometry
    index = read_table(SAMPLES)[["image_id", "origin", "change", "label"]].drop_duplicates("image_id")
    index = index.sort_values("image_id", ignore_index=True)
    catalog = read_table(CATALOG)[["image_id", "source", "member"]]
    index = index.merge(catalog, left_on="origin", right_on="image_id", suffixes=("", "_origin"), validate="many_to_one")

    pixels = render(index, size, geometry)
    PIXELS.parent.mkdir(parents=True, exist_ok=True)
    np.save(PIXELS, pixels)
    write_table(index[["image_id"]], INDEX)

    originals = (index.change == "").to_numpy()
    groups = index.origin.map(read_table(CLUSTERS).set_index("image_id").group)
    result = giveaway(pixels[originals], index.label[originals].to_numpy(dtype=str), groups[originals].to_numpy())
    metrics = {"pictures": len(index), "image_size": size, "geometry": geometry, "geometry_alone": result}
    write_metrics(metrics, "metrics/preprocess.json")
    told = result["balanced_accuracy"]
    print(f"{len(index)} pictures of {size}x{size}; black bars alone tell the class with a balanced accuracy of {told}")


if __name__ == "__main__":
    main()
