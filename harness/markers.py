"""Generated parts of hand-written Markdown files."""

import re
from pathlib import Path


def replace_part(path: Path, name: str, text: str) -> None:
    """Put text between <!-- name --> and <!-- /name --> of a Markdown file."""
    path.write_text(with_part(path.read_text(encoding="utf-8"), name, text), encoding="utf-8")


def with_part(document: str, name: str, text: str) -> str:
    """The document with that part replaced; raises ValueError if it has no such markers."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(document):
        raise ValueError(f"no <!-- {name} --> markers")
    return pattern.sub(lambda match: match[1] + text.rstrip() + "\n" + match[2], document)
