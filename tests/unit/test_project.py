"""The project's own files: what a newcomer's first commands and every release rest on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def declared() -> list[Requirement]:
    words = [*project()["dependencies"]]
    for extra in project()["optional-dependencies"].values():
        words += extra
    return [Requirement(word) for word in words]


def lines_of_constraints() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def holds(requirement: Requirement, python: str) -> bool:
    """Whether the requirement's marker is true on Linux with this version of Python."""
    where = {
        **default_environment(),
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": "linux",
        "platform_system": "Linux",
    }
    return requirement.marker is None or requirement.marker.evaluate(where)


@pytest.fixture
def make(tmp_path):
    """Call make on a copy of what it reads: ``make("-n", "test")``."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    # What an outer `make test ARGS=...` hands down is no business of this one.
    ours = {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "ARGS", "PYTHON"}
    env = {key: value for key, value in os.environ.items() if key not in ours}

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *words], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )

    return call


@pytest.fixture
def environment(make, tmp_path):
    """The stamp of an environment that was made after the files it was made from."""
    stamp = tmp_path / ".venv" / ".ready"
    stamp.parent.mkdir()
    stamp.touch()
    newest = max(
        (tmp_path / name).stat().st_mtime for name in ("pyproject.toml", "constraints.txt")
    )
    os.utime(stamp, (newest + 3600, newest + 3600))
    return stamp


def test_pyproject_is_the_only_home_of_dependencies():
    others = ["requirements*.txt", "requirements*.in", "setup.py", "setup.cfg", "Pipfile"]
    others += ["environment*.y*ml", "conda*.y*ml", "poetry.lock", "uv.lock"]
    assert [path.name for pattern in others for path in ROOT.glob(pattern)] == []


def test_constraints_are_bare_versions_without_addresses_paths_or_hashes():
    marker = r"[a-z_]+ (<|>=|==|!=) '[\w.*]+'"
    line = re.compile(rf"[a-z0-9-]+==[0-9][0-9a-z.]*( ; {marker}( (and|or) {marker})*)?")
    assert [entry for entry in lines_of_constraints() if not line.fullmatch(entry)] == []


@pytest.mark.parametrize("python", PYTHONS)
def test_every_declared_dependency_has_one_tested_version_within_its_bounds(python):
    tested: dict[str, list[str]] = {}
    for requirement in map(Requirement, lines_of_constraints()):
        if holds(requirement, python):
            version = str(requirement.specifier).removeprefix("==")
            tested.setdefault(canonicalize_name(requirement.name), []).append(version)
    for requirement in declared():
        if holds(requirement, python):
            versions = tested.get(canonicalize_name(requirement.name), [])
            assert len(versions) == 1, f"{requirement.name} on {python}: {versions}"
            assert requirement.specifier.contains(versions[0]), f"{requirement}: {versions[0]}"


def test_every_dependency_has_a_lower_bound():
    assert [r.name for r in declared() if ">=" not in str(r.specifier)] == []


def test_neither_scipy_nor_scikit_learn_is_a_dependency():
    names = {canonicalize_name(requirement.name) for requirement in declared()}
    assert not names & {"scipy", "scikit-learn"}


def test_the_package_says_the_version_that_pyproject_says():
    import stepsize

    assert stepsize.__version__ == project()["version"]


def test_no_module_is_a_drawer():
    drawers = {"utils", "util", "helpers", "misc", "common"}
    python = [p for top in ("src", "scripts", "tests") for p in (ROOT / top).rglob("*.py")]
    assert len(python) > 20
    found = [p for p in python if drawers & {*p.relative_to(ROOT).with_suffix("").parts}]
    assert found == []


def test_the_second_call_of_make_installs_nothing(make, environment):
    for target in ("train", "test", "lint"):
        asked = make("-n", target)
        assert asked.returncode == 0, asked.stderr
        assert "pip install" not in asked.stdout


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
@pytest.mark.parametrize("target", ["train", "test", "lint"])
def test_a_changed_dependency_makes_the_next_call_install_again(
    make, environment, tmp_path, target, name
):
    later = environment.stat().st_mtime + 1
    os.utime(tmp_path / name, (later, later))
    assert "-c constraints.txt" in make("-n", target).stdout


def test_make_hands_further_words_to_the_command(make, environment):
    assert (
        "train.py optimizer=adam task=line seed=3"
        in make("-n", "train", "ARGS=task=line seed=3").stdout
    )
    assert make("-n", "test", "ARGS=-k line").stdout.rstrip().endswith("-k line")


def test_make_alone_lists_every_target(make):
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert phony is not None
    listed = re.findall(r"^  make ([\w-]+) +\S", make().stdout, re.MULTILINE)
    assert sorted(listed) == sorted(phony[1].split())


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (None, "does not run: install Python 3.10 or newer"),
        ('case "$2" in *version_info*) exit 1;; esac', "is older than Python 3.10"),
        ('case "$2" in *ensurepip*) exit 1;; esac', "has no venv module: install it"),
    ],
    ids=["no Python", "an old Python", "a Python without venv"],
)
def test_make_says_in_one_line_what_the_machine_lacks(make, tmp_path, script, sentence):
    python = tmp_path / "some-python"
    if script is not None:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    asked = make("test", f"PYTHON={python}")
    said = [line for line in asked.stderr.splitlines() if "***" not in line]
    assert asked.returncode != 0
    assert len(said) == 1
    assert sentence in said[0]
    assert not (tmp_path / ".venv").exists()


def test_continuous_integration_runs_what_a_newcomer_runs():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = re.findall(r"^make .+$", script.read_text("utf-8"), re.MULTILINE)
    browser = ("tests/all/test_page_in_browser.py", "tests/all/test_tensorboard_in_browser.py")
    assert commands == ["make lint", "make test", f'make test ARGS="{" ".join(browser)}"']
    assert all((ROOT / file).is_file() for file in browser)


def test_contributing_names_files_that_exist_and_stays_short():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"`((?:src|conf|tests|scripts|examples|docs)/[\w./]*)`", text)
    # A file to be written is called NAME; its folder is there.
    places = [ROOT / (path.rpartition("/")[0] if "NAME" in path else path) for path in named]
    assert len(places) > 20
    assert [str(place) for place in places if not place.exists()] == []
    assert len(text.splitlines()) <= 110


def test_the_changelog_lists_every_renamed_key():
    from stepsize.config.schema import RENAMED

    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert [old for old, new in RENAMED.items() if f"| `{old}` | `{new}` |" not in text] == []


def test_only_the_readme_of_outputs_is_in_git():
    asked = subprocess.run(
        ["git", "check-ignore", "outputs/README.md", "outputs/runs", "outputs/sweeps/x"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if asked.returncode == 128:
        pytest.skip("this copy of the project is no git repository: clone it")
    assert asked.stdout.split() == ["outputs/runs", "outputs/sweeps/x"]
    assert (ROOT / "outputs" / "README.md").is_file()
