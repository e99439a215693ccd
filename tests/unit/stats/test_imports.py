from __future__ import annotations

import subprocess
import sys


def test_the_statistics_import_neither_torch_nor_another_package_of_ours() -> None:
    code = (
        "import sys, stepsize.stats.intervals, stepsize.stats.paired, stepsize.stats.profiles;"
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'lightning', 'matplotlib')"
        " or m.startswith('stepsize.') and not m.startswith('stepsize.stats')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
