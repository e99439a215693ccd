"""The table that the console shows at the end of a run."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stepsize.run.folder import Run

_COLOURS = {"completed": "green", "diverged": "red"}


def print_summary(run: Run, result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what was trained, its status and metrics, and the TensorBoard command."""
    console = console or Console()
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in _rows(run, result):
        table.add_row(label, text)
    console.print(table)
    # Not in the table, so that a narrow terminal does not fold a command that is copied.
    if list(run.folder.glob("events.out.tfevents*")):
        line = f"{tensorboard_command()} --logdir {shlex.quote(shown_path(run.folder))}"
        console.print(f"\n{line}", soft_wrap=True, highlight=False, markup=False)


def print_interruption(run: Run, result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what was interrupted, at which step, and the command that continues it."""
    console = console or Console()
    asked = run.config.get("trainer", {}).get("max_steps", -1)
    of = f" of {asked:,}" if isinstance(asked, int) and asked > 0 else ""
    what = f"{result['task']} with {result['optimizer']}, seed {result['seed']}"
    console.print(
        f"interrupted by {result['reason']} at step {result['steps']:,}{of}: {what}",
        soft_wrap=True, highlight=False, markup=False,
    )  # fmt: skip
    checkpoint = run.folder / "checkpoints" / "last.ckpt"
    if checkpoint.is_file():
        line = f"continue {continue_command(sys.argv, checkpoint)}"
    else:
        line = f"nothing was saved; start again with {shlex.join(['python', *sys.argv])}"
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def continue_command(arguments: Sequence[str], checkpoint: Path) -> str:
    """The command that continues a run from its checkpoint, in a folder of its own.

    Args:
        arguments: the script and the overrides of the interrupted command.
        checkpoint: the one that it has left.
    """
    script, *overrides = arguments
    replaced = ("ckpt_path=", "resume=", "hydra.run.dir=")
    kept = [each for each in overrides if not each.lstrip("+").startswith(replaced)]
    path = shown_path(checkpoint)
    if not re.fullmatch(r"[\w./-]+", path):  # Hydra reads other characters in quotes only
        path = "'" + path.replace("'", "\\'") + "'"
    return shlex.join(["python", script, *kept, f"ckpt_path={path}"])


def _rows(run: Run, result: Mapping[str, Any]) -> list[tuple[str, str]]:
    status = result["status"]
    colour = _COLOURS.get(status, "yellow")
    parts = [f"{group} {result[group]}" for group in ("scheduler", "param_groups")]
    trained = [
        f"{result['task']} with {result['optimizer']}",
        *(part for part in parts if "none" not in part),
    ]
    rows = [
        ("trained", ", ".join([*trained, f"seed {result['seed']}"])),
        (
            "status",
            f"[{colour}]{status}[/]"
            + (f": {result['reason']}" if result["reason"] else "")
            + f", {result['steps']:,} steps in {result['seconds']:.1f} s",
        ),
    ]
    for tag, values in result["metrics"].items():
        first, final, best = (f"{values[key]:.6g}" for key in ("first", "final", "best"))
        rows.append((tag, f"{first} -> [bold]{final}[/] (best {best})"))
    optimum = result["optimum"]
    rows.append(("optimum", "not known" if optimum is None else f"{optimum:.6g}"))
    rows.append(("files", shown_path(run.folder)))
    return rows


def tensorboard_command() -> str:
    """The TensorBoard command to copy: with its folder, unless the environment is activated."""
    command = Path(sys.executable).parent / "tensorboard"
    found = shutil.which("tensorboard")
    if found is not None and Path(found) == command:
        return "tensorboard"
    return shown_path(command) if command.exists() else "tensorboard"


def shown_path(folder: Path) -> str:
    """The path relative to the working directory, if it lies below."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)
