"""Write the model card and the CLAIM checklist from the metrics files, so that they say nothing else."""

from pathlib import Path

from stages.params import load_params
from stages.statement.card import model_card
from stages.statement.claim import checklist
from stages.statement.facts import read_facts

CARD = Path("metrics/model_card.md")
CLAIM = Path("metrics/claim.md")


def main() -> None:
    facts = read_facts(load_params())
    CARD.write_text(model_card(facts), encoding="utf-8", newline="\n")
    CLAIM.write_text(checklist(facts), encoding="utf-8", newline="\n")
    print(f"{CARD} and {CLAIM}")


if __name__ == "__main__":
    main()
