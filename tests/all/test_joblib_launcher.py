"""Sweeps whose jobs run in the processes of Hydra's joblib launcher."""

import pytest
from command_line import run_command

pytest.importorskip(
    "hydra_plugins.hydra_joblib_launcher", reason='needs: pip install -e ".[launchers]"'
)


@pytest.mark.parametrize("sweeper", ["basic", "stepsize"])
def test_a_sweep_in_parallel_has_its_report_and_counts_its_failures(tmp_path, sweeper):
    done = run_command(
        "-m", "task=line", "trainer.max_steps=40", "plots=false", f"hydra/sweeper={sweeper}",
        "hydra/launcher=joblib", "seed=0,1,2", "optimizer.lr=0.01,-1", "name=x",
        cwd=tmp_path, new=True,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == 1
    assert "6 runs: 3 completed, 3 failed" in done.stdout
    assert (tmp_path / "outputs" / "sweeps" / "x" / "report" / "report.html").exists()
