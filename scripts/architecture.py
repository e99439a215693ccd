"""Writes the generated parts of docs/: the tree of files, and the tables of conf/.

    python scripts/architecture.py

A generated part stands between ``<!-- generated: NAME ARGUMENTS -->`` and ``<!-- end -->``. Its
text comes from the first lines of docstrings and from the comments in conf/, so that a file is
described in one place. tests/unit/test_architecture.py fails where a page and its sources differ.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))

# The reading order of docs/architecture.md. Enough to add a model, an optimizer, a report column.
START_HERE = (
    "train.py",
    "conf/train.yaml",
    "conf/task/curve.yaml",
    "conf/model/curve_net.yaml",
    "src/stepsize/main.py",
    "src/stepsize/train.py",
    "src/stepsize/modules.py",
    "src/stepsize/optim/configure.py",
    "src/stepsize/optim/spec.py",
    "src/stepsize/optim/param_groups.py",
    "src/stepsize/report/read.py",
    "src/stepsize/report/columns.py",
)
# The packages in the order of one run; then what works on many runs.
PACKAGES = (
    "config", "data", "nets", "optim", "schedules", "optima", "callbacks", "loggers", "checkpoint",
    "plots", "run", "sweeps", "vectorized", "stats", "report", "commands",
)  # fmt: skip
_PART = re.compile(r"(<!-- generated: ([^>]*) -->\n).*?(<!-- end -->)", re.DOTALL)
_KEY = re.compile(r"^(?P<key>\w+):(?: (?P<value>[^#].*?))?(?: +# (?P<comment>.*))?$")


def first_line(path: Path) -> str:
    """The first line of a Python file's docstring, as Markdown; empty where there is none."""
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return re.sub(r":[a-z]+:(?=`)", "", docstring.partition("\n")[0].replace("``", "`"))


@dataclass(frozen=True)
class ConfigFile:
    """A file of conf/ and what its comments say.

    Attributes:
        name: the file's name, as in ``optimizer=NAME``.
        path: relative to the repository.
        command: the example in the file's first line.
        description: the paragraph below it.
        keys: (dotted key, value as written, comment) in the file's order; without ``_target_``.
        target: the value of ``_target_``; None where there is none.
    """

    name: str
    path: str
    command: str
    description: str
    keys: list[tuple[str, str, str]]
    target: str | None

    @classmethod
    def read(cls, path: Path) -> ConfigFile:
        """Parse the comments and keys of a file.

        Raises:
            ValueError: the file does not begin with its path and a command.
        """
        relative = path.relative_to(ROOT).as_posix()
        lines = path.read_text("utf-8").splitlines()
        lines = [line for line in lines if not line.startswith("# @package")]
        start, separator, command = lines[0].removeprefix("# ").partition(" -- ")
        if start != relative or not separator:
            raise ValueError(f"{relative}: begin with '# {relative} -- COMMAND', not {lines[0]!r}")
        end = next(i for i, line in enumerate([*lines[1:], "#"], 1) if not line.startswith("# "))
        description = " ".join(line.removeprefix("# ") for line in lines[1:end])
        keys = list(_keys(lines[end:]))
        target = next((value for key, value, _ in keys if key == "_target_"), None)
        shown = [(key, value, note) for key, value, note in keys if value or note]
        shown = [entry for entry in shown if not entry[0].endswith("_target_")]
        return cls(path.stem, relative, command, description, shown, target)

    def value(self, key: str) -> str:
        """The value of a dotted key as written; empty where there is no such key."""
        return next((value for name, value, _ in self.keys if name == key), "")


def _keys(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """The keys of a YAML file; those in a list have its index, as in ``schedulers.1.gamma``.

    The comment of a key is beside it or in the lines above it. ``defaults`` and ``hydra`` are
    Hydra's and skipped.
    """
    parents: list[tuple[int, str]] = []
    above: list[str] = []
    for line in lines:
        stripped = line.strip()
        if stripped.startswith("# "):
            above.append(stripped.removeprefix("# "))
            continue
        indent = len(line) - len(line.lstrip())
        if stripped.startswith("- "):
            last = next((key for depth, key in parents if depth == indent), "-1")
            parents = [(depth, key) for depth, key in parents if depth < indent]
            parents.append((indent, str(int(last) + 1)))
            indent, stripped = indent + 2, stripped.removeprefix("- ")
        match = _KEY.match(stripped)
        if match is not None:
            parents = [(depth, key) for depth, key in parents if depth < indent]
            parents.append((indent, match["key"]))
            if parents[0][1] not in ("defaults", "hydra"):
                dotted = ".".join(key for _, key in parents)
                yield dotted, match["value"] or "", match["comment"] or " ".join(above)
        above = []


def config_files(group: str) -> list[ConfigFile]:
    """The files of a config group, by name."""
    return [ConfigFile.read(path) for path in sorted((ROOT / "conf" / group).glob("*.yaml"))]


def tree() -> str:
    """The repository's files with one comment each."""
    lines = [f"{'train.py':34}{first_line(ROOT / 'train.py')}", ""]
    lines += ["conf/"]
    for folder in sorted(path for path in (ROOT / "conf").iterdir() if path.is_dir()):
        names = ", ".join(sorted(path.stem for path in folder.iterdir()))
        lines.append(f"  {folder.name + '/':32}{textwrap.shorten(names, 88, placeholder=' ...')}")
    source = ROOT / "src" / "stepsize"
    lines += ["", *_folder(source, "src/stepsize/")]
    for package in PACKAGES:
        lines += ["", *_folder(source / package, f"  {package}/")]
        for folder in sorted(path.parent for path in (source / package).glob("*/__init__.py")):
            lines += _folder(folder, f"    {folder.name}/")
    lines += ["", *_folder(ROOT / "src" / "hydra_plugins", "src/hydra_plugins/")]
    for name in ("scripts", "examples"):
        if (ROOT / name).is_dir():
            lines += ["", *_folder(ROOT / name, f"{name}/")]
    text = "\n".join(line.rstrip() for line in lines).replace("`", "")
    return f"```text\n{text}\n```\n"


def _folder(folder: Path, title: str) -> list[str]:
    init = folder / "__init__.py"
    indent = " " * (len(title) - len(title.lstrip()) + 2)
    lines = [f"{title:34}{first_line(init) if init.exists() else ''}"]
    for path in sorted(folder.glob("*.py")):
        if path != init:
            lines.append(f"{indent + path.name:34}{first_line(path)}")
    return lines


def start_here() -> str:
    """The reading list, with the first line of each file."""
    lines = []
    for number, name in enumerate(START_HERE, 1):
        path = ROOT / name
        about = first_line(path) if path.suffix == ".py" else _comment(path)
        lines.append(f"{number}. [{name}](../{name}): {_cell(about)}\n")
    return "".join(lines)


def _comment(path: Path) -> str:
    description = ConfigFile.read(path).description
    return description.partition(". ")[0].rstrip(".") + "."


def files(group: str) -> str:
    """A table of a config group: name and description."""
    rows = [[f"`{file.name}`", file.description] for file in config_files(group)]
    return _table([group, "description"], rows)


def tasks() -> str:
    """The table of tasks: what trains them for how long, and when the target is met."""
    rows = []
    for file in config_files("task"):
        text = (ROOT / file.path).read_text("utf-8")
        chosen = dict(re.findall(r"^  - /(data|model): (\w+)$", text, re.MULTILINE))
        target = re.search(r"^target: \{metric: (\S+), value: (\S+)\}", text, re.MULTILINE)
        if target is None:
            raise ValueError(f"{file.path}: give target: {{metric: TAG, value: NUMBER}}")
        better = ">=" if target[1].endswith("acc") else "<="
        rows.append(
            [
                f"`{file.name}`",
                file.description,
                f"`{chosen['data']}`",
                f"`{chosen['model']}`",
                file.value("trainer.max_steps"),
                f"`{target[1]} {better} {target[2]}`",
            ]
        )
    return _table(["task", "description", "data", "model", "steps", "target"], rows)


def optimizers() -> str:
    """The table of optimizers: class, learning rate and description."""
    rows = [
        [f"`{file.name}`", f"`{file.target}`", file.value("lr"), file.description]
        for file in config_files("optimizer")
    ]
    return _table(["optimizer", "class", "lr", "description"], rows)


def options(group: str) -> str:
    """A section for each file of a config group: its example and every key."""
    return "".join(_section(file) for file in config_files(group))


def _section(file: ConfigFile) -> str:
    target = f" (`{file.target}`)" if file.target else ""
    keys = _key_table(file) if file.keys else ""
    return f"### {file.name}{target}\n\n`{file.command}`\n\n{_cell(file.description)}\n\n{keys}\n"


def keys(path: str) -> str:
    """The table of the keys of one file of conf/."""
    return _key_table(ConfigFile.read(ROOT / path))


def _key_table(file: ConfigFile) -> str:
    rows = [[f"`{key}`", f"`{value}`" if value else "", note] for key, value, note in file.keys]
    return _table(["key", "value", "meaning"], rows)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(map(_cell, cells)) + " |\n" for cells in lines)


def _cell(text: str) -> str:
    """Text as Markdown in a table's cell: ``|`` ends no column, and ``_target_`` is no emphasis."""

    def as_code(match: re.Match[str]) -> str:
        return match[0] if match[0].startswith("`") else f"`{match[0]}`"

    return re.sub(r"`[^`]*`|(?<!\w)_\w+_(?!\w)", as_code, text.replace("|", "\\|"))


PARTS: dict[str, Callable[..., str]] = {
    "tree": tree, "start-here": start_here, "files": files, "tasks": tasks,
    "optimizers": optimizers, "options": options, "keys": keys,
}  # fmt: skip


def rendered(page: str) -> str:
    """A page's text with all its parts generated anew."""

    def generate(match: re.Match[str]) -> str:
        name, *arguments = match[2].split()
        return f"{match[1]}\n{PARTS[name](*arguments).rstrip()}\n\n{match[3]}"

    return _PART.sub(generate, page)


def main() -> None:
    """Write every page whose generated parts have changed."""
    for page in PAGES:
        text = page.read_text("utf-8")
        new = rendered(text)
        if new != text:
            page.write_text(new, "utf-8")
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
