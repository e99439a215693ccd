"""Write the report of sweeps again, or of several together.

    python scripts/compare.py outputs/sweeps/lr_grid
    python scripts/compare.py outputs/sweeps/lr_grid --baseline sgd
    python scripts/compare.py outputs/sweeps/lr_grid outputs/sweeps/schedules
    python scripts/compare.py outputs/runs

The report goes to FOLDER/report, or to outputs/reports/ where there are several folders.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Read the command line, write the report, print its path."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--baseline", metavar="NAME", help="what differences are shown against")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the report goes")
    arguments = parser.parse_args()

    from stepsize.report.report import write_report  # after --help

    out = arguments.out or _usual_place(arguments.folders)
    try:
        print(write_report(arguments.folders, out, baseline=arguments.baseline))
    except (OSError, ValueError) as error:
        sys.exit(str(error))


def _usual_place(folders: list[Path]) -> Path:
    if len(folders) == 1:
        return folders[0] / "report"
    names = "+".join(folder.resolve().name for folder in folders)
    return Path("outputs", "reports", names[:200])


if __name__ == "__main__":
    main()
