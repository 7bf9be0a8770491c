"""The test pictures that the model is surest of and wrong about."""

from stages.report.results import Results

TITLE = "Misclassified pictures"
SHOWN = 60


def context(results: Results) -> dict:
    wrong = results.predictions[results.predictions.label != results.predictions.predicted]
    wrong = wrong.sort_values(["probability", "image_id"], ascending=[False, True])
    return {"cards": results.pictures.cards(wrong.head(SHOWN)), "total": len(wrong)}
