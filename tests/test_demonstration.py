"""A run is a demonstration if the registry has any of its sets generated, whatever the set is called."""

from pathlib import Path

import pytest
import yaml
from synthetic import copy_params

from stages.demonstration import NOTE, is_demonstration, titled


def test_the_registry_and_not_the_name_tells(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy_params()
    path = Path("data/sources.yaml")
    registry = yaml.safe_load(path.read_text())
    registry["drawn"] = registry["phantom"]
    registry["phantoms-of-plastic"] = registry["sartaj"]
    path.write_text(yaml.safe_dump(registry))
    assert is_demonstration(["drawn"]) and is_demonstration(["sartaj", "drawn"])
    assert not is_demonstration(["sartaj", "phantoms-of-plastic"])
    with pytest.raises(SystemExit, match="data.sources: 'nobody'"):
        is_demonstration(["nobody"])


def test_the_title_of_a_result_stays_as_it_is():
    assert titled("Labels", False) == "Labels"
    assert titled("Labels", True).startswith(NOTE) and titled("Labels", True).endswith("Labels")
