import contextlib
from pathlib import Path

import pytest
import yaml
from small_checkout import run
from synthetic import ROOT

from tools.layout import lay_out


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A git repository of the checkout's files, with a small synthetic set and without results."""
    folder = tmp_path_factory.mktemp("checkout")
    with contextlib.chdir(ROOT):
        lay_out(folder, ROOT / "recipes/demo.yaml")
    sources = yaml.safe_load((folder / "data/sources.yaml").read_text())
    sources["phantom"]["archive"]["phantom"]["patients_per_class"] = 5
    (folder / "data/sources.yaml").write_text(yaml.safe_dump(sources))
    run("git", "init", "-q", cwd=folder)
    return folder
