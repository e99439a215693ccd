from __future__ import annotations

import subprocess
import sys


def test_the_statistics_import_only_numpy() -> None:
    code = (
        "import sys; import stepsize.stats; "
        "print([name for name in sys.modules if name.startswith('stepsize.')"
        " and not name.startswith('stepsize.stats')], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"
