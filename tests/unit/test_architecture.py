"""The generated pages of docs/ agree with the code and with conf/."""

import importlib.util
import re
import sys

import pytest
from command_line import ROOT


def load(name):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


architecture = load("architecture")
MAP = (ROOT / "docs" / "architecture.md").read_text("utf-8")
SOURCES = sorted((ROOT / "src").rglob("*.py"))
GROUPS = sorted(path.name for path in (ROOT / "conf").iterdir() if path.is_dir())


@pytest.mark.parametrize("page", architecture.PAGES, ids=lambda page: page.stem)
def test_the_page_is_as_its_sources_make_it(page):
    text = page.read_text("utf-8")
    assert text == architecture.rendered(text), "run: python scripts/architecture.py"


def test_every_file_of_the_package_is_in_the_tree():
    tree = architecture.tree()
    lines = {path: architecture.first_line(path).replace("`", "") for path in SOURCES}
    assert [path for path, line in lines.items() if line not in tree] == []
    folders = {path.parent.name for path in (ROOT / "src/stepsize").glob("*/__init__.py")}
    assert {*architecture.PACKAGES} == folders


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_first_line_of_a_file_is_one_short_sentence(path):
    line = architecture.first_line(path)
    assert line.endswith((".", "?"))
    assert len(line) <= 95


def test_twelve_files_to_start_with_have_less_than_2000_lines():
    assert len(architecture.START_HERE) == 12
    lines = [len((ROOT / name).read_text("utf-8").splitlines()) for name in architecture.START_HERE]
    assert sum(lines) < 2000


def test_the_diagrams_name_files_and_folders_that_exist():
    diagrams = "".join(re.findall(r"```mermaid\n(.*?)```", MAP, flags=re.DOTALL))
    named = {*re.findall(r"\b(?:[a-z_]+/)*[a-z_]+\.py\b|\b[a-z_]+/", diagrams)}
    named -= {"hydra/"}  # hydra/launcher is a key of the configuration
    assert len(named) > 10
    places = (ROOT, ROOT / "src", ROOT / "src/stepsize")
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_every_file_of_conf_and_every_config_group_has_its_row():
    pages = "".join(page.read_text("utf-8") for page in architecture.PAGES)
    for group in sorted({*GROUPS} - {"hydra", "trainer"}):
        for file in architecture.config_files(group):
            assert f"| `{file.name}` |" in pages or f"\n### {file.name}" in pages, file.path


def test_a_key_in_a_list_is_named_as_an_override_names_it():
    muon = architecture.ConfigFile.read(ROOT / "conf/optimizer/muon.yaml")
    keys = {key for key, _, _ in muon.keys}
    assert {"lr", "params.0.match", "params.1.ndim", "other_params.lr"} <= keys


def test_a_config_file_without_its_path_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(architecture, "ROOT", tmp_path)
    (tmp_path / "mine.yaml").write_text("lr: 1\n")
    with pytest.raises(ValueError, match=r"mine\.yaml: begin with .*, not 'lr: 1'"):
        architecture.ConfigFile.read(tmp_path / "mine.yaml")
