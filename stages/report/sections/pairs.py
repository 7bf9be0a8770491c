"""Which class is taken for which, with examples."""

from stages.report.results import Results

TITLE = "What is taken for what"
PAIRS, EXAMPLES = 6, 6  # pairs with pictures, and pictures of each


def context(results: Results) -> dict:
    pairs = results.slices["confusions"]
    predictions = results.predictions.sort_values(["probability", "image_id"], ascending=[False, True])
    examples = []
    for pair in pairs[:PAIRS]:
        mine = predictions[(predictions.label == pair["actual"]) & (predictions.predicted == pair["predicted"])]
        # One a group first, so that a single patient does not stand for all.
        chosen = mine.iloc[mine.groupby("group").cumcount().argsort(kind="stable")].head(EXAMPLES)
        examples.append(pair | {"cards": results.pictures.cards(chosen)})
    return {"pairs": pairs, "examples": examples}
