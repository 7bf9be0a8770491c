"""Labels that are probably wrong."""

from stages.catalog import read_table
from stages.report.results import Results

TITLE = "Labels to check"
SHOWN = 30


def context(results: Results) -> dict:
    audit = read_table("metrics/audit.csv")
    doubted = audit[audit.reason == "the model disagrees"]
    rows = results.predictions.set_index("image_id").loc[doubted.image_id[:SHOWN]].reset_index()
    return {
        "cards": results.pictures.cards(rows),
        "doubted": len(doubted),
        "disputed": len(audit) - len(doubted),
        "pictures": len(results.predictions),
    }
