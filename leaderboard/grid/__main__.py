"""Train and score cells of the leaderboard side by side, each fold and seed a task of Ray, and write their results.

python -m leaderboard.grid                                                  every cell that has no result yet
python -m leaderboard.grid kazemi-resnet18-whole 'ours-lite0-*' --protocol honest
RAY_ADDRESS=192.0.2.1:6379 python -m leaderboard.grid                       on a cluster (docs/scale.md), from one of its nodes

What finished is never trained again: the same command goes on after any kill. What came of each training is in leaderboard/runs/grid.csv.
"""

import argparse
import sys
from fnmatch import filter as matching
from typing import Any

from leaderboard.cell import add_options, parse
from leaderboard.recipes import FOLDER, PROTOCOLS, RESULTS, load_recipe, load_recipes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m leaderboard.grid", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "names", nargs="*", help="recipes, or patterns such as 'ours-lite0-*'; without any, those cells that have no result"
    )
    add_options(parser)
    parser.add_argument("--folds", nargs="+", type=int, metavar="FOLD", help="train only these; a cell has its result once it has all")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="train.seeds, said in the results")
    parser.add_argument("--cores", type=int, default=1, help="of a training (1)")
    parser.add_argument("--gpu-memory", type=float, default=16, metavar="GB", help="of each GPU, where there are any (16)")
    arguments = parser.parse_args()

    changes = parse(arguments.set) | ({"train.seeds": arguments.seeds} if arguments.seeds else {})
    chosen = choose(arguments.names, [arguments.protocol] if arguments.protocol else list(PROTOCOLS))
    if not chosen:
        print("Every cell has its result; those that are named are looked at again.")
        return
    sys.exit(run(chosen, changes, arguments))


def choose(patterns: list[str], protocols: list[str]) -> list[tuple[str, str]]:
    """(recipe, protocol) of all that patterns name, each once; without patterns, of what has no result. Exits when one names nothing."""
    recipes = load_recipes()
    names = {}
    for pattern in patterns or recipes:
        found = matching(recipes, pattern)
        if not found and any(sign in pattern for sign in "*?["):
            sys.exit(f"No recipe is called like {pattern!r}; see {FOLDER}/")
        names |= dict.fromkeys(found or [load_recipe(pattern) and pattern])
    chosen = [(name, protocol) for name in names for protocol in protocols]
    return chosen if patterns else [pair for pair in chosen if not (RESULTS / f"{'-'.join(pair)}.json").exists()]


def run(chosen: list[tuple[str, str]], changes: dict[str, Any], arguments: argparse.Namespace) -> bool:
    """Run the cells on Ray and say what came of them; whether something failed, or nothing could be made ready."""
    from leaderboard.grid.driver import Grid  # PyTorch and Ray take seconds to import, which a mistaken name need not wait for

    grid = Grid(chosen, changes, arguments.folds, arguments.cores, arguments.gpu_memory * 1e9)
    try:
        grid.run()
    except KeyboardInterrupt:
        sys.exit("Interrupted. What finished is kept; the same command goes on.")
    return grid.report()


if __name__ == "__main__":
    main()
