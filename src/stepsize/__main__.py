"""``python -m stepsize COMMAND``: reports, schedules and plots without training.

Each file in ``commands/`` is a command: its docstring is the command's help and begins with one
line and an example, ``add_arguments`` declares its arguments, and ``run`` returns the file that it
wrote. It imports torch and matplotlib inside ``run``, so that ``--help`` stays fast.
"""

from __future__ import annotations

import argparse
import os
import pkgutil
import sys
from collections.abc import Sequence
from importlib import import_module

from stepsize import commands

COMMANDS = [module.name for module in pkgutil.iter_modules(commands.__path__)]


def main(arguments: Sequence[str]) -> None:
    """Run the command that the first argument names; list all commands where there is none.

    Raises:
        SystemExit: the command is unknown or failed; carries a message of one line.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return
    name, *rest = arguments
    if name not in COMMANDS:
        sys.exit(f"unknown command {name}: give one of {', '.join(COMMANDS)}")
    command = import_module(f"stepsize.commands.{name}")
    parser = argparse.ArgumentParser(
        prog=f"python -m stepsize {name}",
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    parsed = parser.parse_args(rest)
    try:
        print(command.run(parsed))
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.exit(_message(error))


def overview() -> str:
    """Every command with the first line of its help and its first example."""
    entries = ["usage: python -m stepsize COMMAND [--help]"]
    for name in COMMANDS:
        lines = (import_module(f"stepsize.commands.{name}").__doc__ or "").splitlines()
        example = next(line.strip() for line in lines if line.startswith("    python "))
        entries.append(f"  {name:10}{lines[0]}\n{'':12}{example}")
    return "\n\n".join(entries)


def _message(error: Exception) -> str:
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from stepsize.run.errors import one_line

    if isinstance(error, (HydraException, OmegaConfBaseException)):  # they name key and value
        return " ".join(str(error).split())
    return one_line(error)


if __name__ == "__main__":
    main(sys.argv[1:])
