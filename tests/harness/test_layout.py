"""Which files make up a folder of its own."""

from pathlib import Path

import pytest

from harness.layout import lay_out


@pytest.mark.parametrize(("path", "reason"), [(None, "not a git repository"), ("", "git is not installed")])
def test_what_was_downloaded_without_git_says_what_to_do(tmp_path, monkeypatch, path, reason):
    monkeypatch.chdir(tmp_path)
    if path is not None:
        monkeypatch.setenv("PATH", path)
    with pytest.raises(SystemExit, match=reason) as exit:
        lay_out(Path("demo"))
    assert "\n" not in exit.value.code
