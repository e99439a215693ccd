from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from synthetic_sweeps import write_sweep


def compare(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stepsize", "compare", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_one_folder_has_its_report_inside(tmp_path: Path):
    write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"]})
    done = compare("s", "--baseline", "sgd", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "s/report/report.html\n"
    assert (tmp_path / "s" / "report" / "report.html").exists()


def test_several_folders_have_theirs_below_outputs(tmp_path: Path):
    for name in ("a", "b"):
        write_sweep(tmp_path / name, {"optimizer": ["sgd", "adam"]})
    assert compare("a", "b/", cwd=tmp_path).stdout == "outputs/reports/a+b/report.html\n"


def test_a_folder_without_runs_is_an_error_of_one_line(tmp_path: Path):
    done = compare(".", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ". holds no runs\n"
    assert not (tmp_path / "report").exists()


def test_an_unknown_baseline_is_an_error_of_one_line(tmp_path: Path):
    write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"]})
    done = compare("s", "--baseline", "foo", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "baseline=foo is none of the settings; choose from adam, sgd\n"
