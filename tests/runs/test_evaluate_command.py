"""``python -m stepsize evaluate``: the metrics of a run's checkpoint, also on other data."""

import json

import pytest
from own_loaders import Own, plain

from stepsize.__main__ import main
from stepsize.modules import Regressor


class WithTestStep(Regressor):
    def test_step(self, batch, batch_idx):
        self.log("test/loss", self.step(batch).loss)


class WithTest(Own):
    def test_dataloader(self):
        return plain()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from conftest import Runner

    runner = Runner(tmp_path_factory.mktemp("runs"))
    return runner("task=curve", "trainer.max_steps=20", "callbacks.plot=null").folder


def evaluated(folder):
    return json.loads((folder / "evaluate.json").read_text("utf-8"))


def test_it_has_the_metrics_of_the_run_itself(folder, capsys):
    main(["evaluate", str(folder)])
    shown = capsys.readouterr().out
    final = json.loads((folder / "result.json").read_text())["metrics"]["val/loss"]["final"]
    assert evaluated(folder)["metrics"] == {"val/loss": pytest.approx(final, rel=1e-6)}
    assert evaluated(folder)["step"] == 20
    assert f"val/loss  {final:.6g}" in shown
    assert str(folder / "evaluate.json") in shown


def test_data_without_a_validation_set_are_an_error_of_one_line(folder):
    with pytest.raises(SystemExit, match="nothing to evaluate: Regressor on Line"):
        main(["evaluate", str(folder), "data=line"])


@pytest.mark.parametrize("override", ["data.points=50", "+data.seed=3"])
def test_overrides_of_the_data_change_the_data_alone(folder, override):
    main(["evaluate", str(folder)])
    before = evaluated(folder)
    main(["evaluate", str(folder), override])
    after = evaluated(folder)
    assert after["overrides"] == [override]
    assert after["metrics"] != before["metrics"]
    differing = {key for key in after["data"] if after["data"][key] != before["data"][key]}
    assert [f"data.{key}" for key in differing] == [override.lstrip("+").split("=")[0]]


BAD = {
    "optimizer.lr=1": "optimizer.lr=1: give one value for the data",
    "data.points=10,20": "data.points=10,20: give one value for the data",
    "data.pionts=5": r"data.pionts=5: .*one of data._target_, data.points",
    "data=digit": "data=digit: there is no such file; give one of .*digits",
}


@pytest.mark.parametrize("override", BAD)
def test_other_overrides_are_refused_in_one_line(folder, override):
    with pytest.raises(SystemExit, match=BAD[override]) as raised:
        main(["evaluate", str(folder), override])
    assert "\n" not in str(raised.value)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"no checkpoints/last.ckpt; give the folder of a run"):
        main(["evaluate", str(tmp_path)])


def test_a_module_with_a_test_is_tested_too(run):
    done = run(
        "task=line", "~data", "+data={_target_: test_evaluate_command.WithTest, kind: shuffled}",
        "model._target_=test_evaluate_command.WithTestStep", "target=null", "trainer.max_steps=3",
        "allowed_packages=[test_evaluate_command]", "callbacks.plot=null", "logger=none",
    )  # fmt: skip
    main(["evaluate", str(done.folder)])
    assert list(evaluated(done.folder)["metrics"]) == ["val/loss", "test/loss"]
