import contextlib
from pathlib import Path

import pytest
from commands import run
from synthetic import ROOT

from harness.layout import lay_out, shrink_phantom


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A git repository of the checkout's files, with a small synthetic set and without results."""
    folder = tmp_path_factory.mktemp("checkout")
    with contextlib.chdir(ROOT):
        lay_out(folder, ROOT / "recipes/demo.yaml")
    shrink_phantom(folder)
    run("git", "init", "-q", cwd=folder)
    return folder
