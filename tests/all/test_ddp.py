"""Training with several processes: trainer=ddp."""

import json

from command_line import ROOT

OWN = [
    "task=line", "~data", "+data={_target_: own_loaders.Own, kind: shuffled}",
    "monitor=train/loss", "target=null", "allowed_packages=[own_loaders]", "callbacks.plot=null",
    "trainer.log_every_n_steps=2", "trainer.max_steps=8",
]  # fmt: skip


def test_two_processes_train_one_run_and_write_its_files_once(command, tmp_path):
    done = command("trainer=ddp", "trainer.accelerator=cpu", *OWN, "hydra.run.dir=here",
                   PYTHONPATH=str(ROOT / "tests"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "here" / "result.json").read_text())
    assert (result["status"], result["steps"]) == ("completed", 8)
    assert done.stdout.count("completed") == 1
    assert len(list((tmp_path / "here").glob("events.out.tfevents*"))) == 1


def test_data_in_memory_refuse_two_processes_in_one_line(command):
    done = command("trainer=ddp", "trainer.accelerator=cpu", "task=line", "hydra.run.dir=here")
    assert done.returncode != 0
    assert "2 processes: Line keeps its data in memory" in done.stderr
    assert "Traceback" not in done.stderr
