"""Coverage-guided bytes for the parsers of our own, by atheris: each takes them, or refuses them with SystemExit or Undecodable.

python -m benchmarks.torture.fuzz PARSER SEEDS -runs=10000 [other options of libFuzzer]   in a folder that it may write to
"""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["stages"]):
    from stages.download.archive import open_zip
    from stages.merge.given import read_given
    from stages.params import load_params
    from stages.pixels import Undecodable, decode, open_image
    from stages.predict.package import load
    from stages.sources import load_sources

SCRATCH = Path("fuzzed")  # for the parsers that read a file


def _file(parse: Callable[[Path], object]) -> Callable[[bytes], None]:
    def one(data: bytes) -> None:
        SCRATCH.write_bytes(data)
        parse(SCRATCH)

    return one


def _archive(path: Path) -> None:
    with open_zip(path) as files:
        for member in files.members:
            for _ in files.read(member):
                pass


def _package(path: Path) -> None:
    folder = path.with_suffix(".package")
    folder.mkdir(exist_ok=True)
    path.replace(folder / "package.json")
    load(folder)


PARSERS: dict[str, Callable[[bytes], object]] = {
    "params": _file(load_params),
    "sources": _file(load_sources),
    "table": _file(lambda path: read_given(path, str(path), ("sha256", "label"))),
    "archive": _file(_archive),
    "picture": lambda data: decode(open_image(data, 1), at_least=128),
    "package": _file(_package),
}


def main() -> None:
    parse = PARSERS[sys.argv[1]]

    def one_input(data: bytes) -> None:
        with contextlib.suppress(SystemExit, Undecodable):
            parse(data)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
