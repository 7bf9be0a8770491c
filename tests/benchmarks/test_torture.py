"""The fault injection itself: it notices what is wrong, and a short selection of it holds."""

import contextlib
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.torture import __main__ as torture
from benchmarks.torture import hostile, kill, network, params, parsers, stage
from benchmarks.torture.project import Project, complaint, fingerprint, start

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project():
    with contextlib.chdir(ROOT):
        project = Project()
        yield project
        project.remove()


def test_every_mistake_in_the_params_is_named(project):
    wrong = params.mistaken(project, 1, np.random.default_rng(0))
    assert len(wrong) > 800
    assert not any(wrong), [line for line in wrong if line][:3]


def test_nonsense_that_is_taken_is_noticed(project, monkeypatch):
    monkeypatch.setattr(params, "load_params", lambda path: None)
    wrong = params.mistaken(project, 1, np.random.default_rng(0))
    assert len(wrong) > 500 and all(wrong)
    assert "model.freeze: 'nonsense' is taken" in wrong and "model.backbone: '' is taken" in wrong
    assert not any(line.startswith("model.backbone: 'nonsense'") for line in wrong)  # which may be a backbone


def test_odd_and_damaged_files_hold():
    command = [sys.executable, "-m", "benchmarks.torture", "--only", "pictures", "archives", "--tries", "24"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "| odd and damaged pictures | 24 | 24 |" in ended.stdout and "| odd and damaged archives | 24 | 24 |" in ended.stdout


def test_a_new_row_leaves_the_others_in_their_order(tmp_path, monkeypatch):
    what = [fault.what for fault in torture.FAULTS.values()]
    table = tmp_path / "table.md"
    table.write_text(
        f"Text.\n<!-- torture -->\n| fault | tries | held |\n| --- | ---: | ---: |\n| {what[3]} | 4 | 4 |\n<!-- /torture -->\n"
    )
    monkeypatch.setattr(torture, "TABLE", table)
    torture.update_table({what[5]: f"| {what[5]} | 1 | 0 |", what[0]: f"| {what[0]} | 9 | 9 |"})
    torture.update_table({what[3]: f"| {what[3]} | 5 | 5 |"})
    rows = [line for line in table.read_text().splitlines() if line.startswith("| ")][2:]
    assert rows == [f"| {what[0]} | 9 | 9 |", f"| {what[3]} | 5 | 5 |", f"| {what[5]} | 1 | 0 |"]


def test_what_cannot_be_tried_here_is_said(monkeypatch, capsys):
    monkeypatch.setattr(parsers, "find_spec", lambda name: None)
    monkeypatch.setattr(torture, "TABLE", None)  # which is not written
    monkeypatch.setattr(sys, "argv", ["torture", "--only", "parsers", "--tries", "6"])
    with pytest.raises(SystemExit):
        torture.main()
    assert "not tried, atheris is not installed" in capsys.readouterr().out


def test_a_picture_that_is_not_what_it_should_be_is_noticed(project, monkeypatch):
    def of_another_size(rng):
        data, (width, height) = hostile.KINDS["grey"](rng)
        return data, (width + 1, height)

    kinds = {"grey": hostile.KINDS["grey"], "other": of_another_size, "noise": lambda rng: (b"no picture", (5, 5))}
    monkeypatch.setattr(hostile, "KINDS", kinds | {"text": hostile.KINDS["text"]})
    wrong = hostile.pictures(project, 60, np.random.default_rng(0))
    assert 15 < sum(map(bool, wrong)) < 45
    assert any("is not an image" in line for line in wrong)


def test_of_many_pictures_that_one_is_named_which_makes_a_stage_crash(project, monkeypatch):
    def crashing(folder, *arguments, **options):
        named = zipfile.ZipFile(folder / "mirror/sartajbhuvaji/brain-tumor-classification-mri.zip").namelist()
        return ("merge crashed" if any("bomb" in name for name in named) else ""), ""

    monkeypatch.setattr(hostile, "run_stage", crashing)
    monkeypatch.setattr(hostile, "KINDS", {kind: hostile.KINDS[kind] for kind in ("grey", "cut", "bomb", "noise")})
    monkeypatch.setattr(hostile, "_found", lambda folder: {})
    line = hostile.pictures(project, 20, np.random.default_rng(0))[-1]
    assert re.fullmatch(r"merge crashed; it takes bomb \[\d+, \d+\]", line)


def test_an_archive_that_leaves_something_is_noticed(project, monkeypatch):
    def leaving(folder, *arguments, **options):
        ended = stage.run_stage(folder, *arguments, **options)
        (folder / "data/raw").mkdir(exist_ok=True)
        (folder / "data/raw/half.part").touch()
        return ended

    monkeypatch.setattr(hostile, "run_stage", leaving)
    wrong = hostile.archives(project, 2, np.random.default_rng(0))
    assert len(wrong) == 2 and all("half.part" in line for line in wrong)


def test_memory_is_that_of_the_stage_alone(project, monkeypatch):
    own = np.ones(2**28, np.uint8)  # 256 MB in the process that starts the stage
    monkeypatch.setattr(stage, "MEGABYTES", 30)
    took = int(re.fullmatch(r"proper 7: download took (\d+) MB", hostile.archive(project, "proper", 7))[1])
    assert 30 < took < own.nbytes // 2**20


def test_a_stage_that_hangs_is_noticed(project):
    with project.new() as folder:
        assert stage.run_stage(folder, "merge", seconds=0.1) == ("merge took more than 0.1 s", "")


@pytest.mark.parametrize("trouble", ["cut", "refused", "shorter", "killed"])
def test_troubles_of_the_network_hold(project, monkeypatch, trouble):
    monkeypatch.setattr(network, "TROUBLES", {trouble: network.TROUBLES[trouble]})
    assert network.download(project, np.random.default_rng(0)) == ""


def test_a_download_of_other_bytes_is_noticed(project, monkeypatch):
    monkeypatch.setattr(network, "_whole", lambda folder, members: False)
    monkeypatch.setattr(network, "TROUBLES", {"cut": network.TROUBLES["cut"]})
    assert network.download(project, np.random.default_rng(0)) == "cut: what it downloaded is not what was sent"


def test_a_key_that_is_printed_is_noticed(project, monkeypatch):
    monkeypatch.setattr(network, "KEY", "sartajbhuvaji")  # which a refusal does print
    monkeypatch.setattr(network, "TROUBLES", {"refused": network.TROUBLES["refused"]})
    assert network.download(project, np.random.default_rng(0)) == "refused: the account's key is in what it writes"


STAGES = {
    "slow": {"cmd": "python slow.py", "deps": ["slow.py"], "outs": ["slow.txt"]},
    "after": {"cmd": "cat slow.txt slow.txt > after.txt", "deps": ["slow.txt"], "outs": ["after.txt"]},
}


@pytest.fixture
def tiny(monkeypatch):
    """A project of two stages, of which the first takes as long as its code says."""
    monkeypatch.setattr(kill, "LONGEST", 2.5)
    project = Project()

    project.code = "import time; time.sleep(1); open('slow.txt', 'w').write('done')"

    def lay_out(folder: Path) -> None:
        folder.mkdir()
        subprocess.run(["dvc", "init", "-q", "--no-scm"], cwd=folder, check=True)
        (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
        (folder / "slow.py").write_text(project.code)

    project._lay_out = lay_out
    yield project
    project.remove()


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_what_is_killed_and_made_again_is_compared(tiny, kind, capsys):
    assert kill.ended_by(kind, tiny, 3, np.random.default_rng(0)) == ["", "", ""]
    assert re.search(rf"{kind.name} during .*(slow|the start) \(\d\)", capsys.readouterr().out)
    tiny.code = "import time; time.sleep(1); open('slow.txt', 'w').write(str(time.time()))"
    assert any("other bytes in after.txt, dvc.lock: after" in line for line in kill.ended_by(kind, tiny, 2, np.random.default_rng(0)))


def test_stages_that_no_process_waits_for_are_a_fault_and_do_not_keep_it_waiting(tiny, monkeypatch):
    monkeypatch.setattr(kill, "STARTS", 2)
    assert kill.ended_again(tiny, np.random.default_rng(0)).startswith("of 2 stages none was seen")


@pytest.mark.parametrize(
    ("on_interrupt", "expected"),
    [
        ("signal.default_int_handler", "a traceback"),
        ("signal.SIG_DFL", ""),
        ("lambda *_: time.sleep(1.5) or exit()", "it took [12] s to end"),
    ],
    ids=["loud", "quiet", "slow"],
)
def test_ctrl_c_has_to_end_it_soon_and_without_a_traceback(tmp_path, monkeypatch, on_interrupt, expected):
    monkeypatch.setattr(kill, "PATIENCE", 1)
    code = f"import pathlib, signal, time; signal.signal(signal.SIGINT, {on_interrupt}); pathlib.Path('ready').touch(); time.sleep(60)"
    running = start(tmp_path, sys.executable, "-c", code)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    assert re.fullmatch(expected, kill._end(running, signal.SIGINT, tmp_path))


def test_a_changed_output_is_noticed(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("one.csv", "folder/two.csv", "folder/three.csv"):
        (tmp_path / name).write_text(name)
    outs = [{"path": "one.csv"}, {"path": "folder"}]
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"a": {"outs": outs}, "b": {}}}))
    project = Project()
    project.undisturbed = lambda: None
    project.expected = fingerprint(tmp_path)
    assert project.expected.keys() == {"dvc.lock: a", "dvc.lock: b", "one.csv", "folder/two.csv", "folder/three.csv"}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"b": {}, "a": {"outs": outs}}}, sort_keys=False))
    assert project.differences(tmp_path) == ""
    (tmp_path / "folder/two.csv").write_text("other")
    (tmp_path / "folder/three.csv").unlink()
    assert project.differences(tmp_path) == "other bytes in folder/three.csv, folder/two.csv"


def test_a_failure_has_to_be_one_and_to_be_readable():
    assert complaint(0, "") and complaint(1, "Traceback (most recent call last):") and not complaint(1, "data/x: No space left on device")
