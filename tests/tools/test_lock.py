"""The lock files: exact versions and nothing else, of all that is installed for tests."""

import re
import subprocess
import sys
import tomllib

import pytest
from synthetic import ROOT

from tools.lock import HEADER, write

LOCKS = sorted(ROOT.glob("requirements*.lock"))


def versions(lock) -> dict[str, str]:
    lines = [line for line in lock.read_text().splitlines() if not line.startswith("#")]
    return dict(re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_file_holds_exact_versions_and_nothing_else(lock):
    assert lock.read_text().startswith(HEADER) and versions(lock)


@pytest.mark.parametrize("extra", ["serve", "cluster"])
def test_an_environment_of_its_own_has_what_its_extra_asks_for(extra):
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][extra]
    assert {re.split(r"\W", requirement)[0] for requirement in asked} <= versions(ROOT / f"requirements-{extra}.lock").keys()


def test_an_environment_of_its_own_is_locked_without_installers_and_the_checkout(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python = tmp_path / "env/bin/python"
    place = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True, check=True
    )
    for name, url in (("b", None), ("A", None), ("checkout", '{"url": "file:///x", "dir_info": {"editable": true}}')):
        info = tmp_path / place.stdout.strip() / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        if url:
            (info / "direct_url.json").write_text(url)
    write(tmp_path / "x.lock", python)
    assert (tmp_path / "x.lock").read_text() == HEADER + "A==1.0\nb==1.0\n"
