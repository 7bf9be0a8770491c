import shutil
from pathlib import Path

import pytest
from phantom_run import lay_out_run

from stages.report.__main__ import main as report


@pytest.fixture(scope="session")
def reported(phantom_project, tmp_path_factory) -> Path:
    """A folder with the report of a model that is right four times in five on the synthetic set. For reading only."""
    folder = tmp_path_factory.mktemp("reported")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        lay_out_run(phantom_project.folder)
        report()
    return folder


@pytest.fixture
def run(reported, tmp_path, monkeypatch) -> Path:
    """The same run in the working directory, to change and to report again."""
    shutil.copytree(reported, tmp_path, dirs_exist_ok=True, symlinks=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
