"""A logger of your own: any Lightning logger, beside metrics.csv and TensorBoard or instead of it.

    python train.py --config-dir examples/conf logger=own_logger allowed_packages=[examples]

Lightning's own loggers (Weights and Biases, MLflow, Comet ...) need no code, only a file that names
them: ``_target_: pytorch_lightning.loggers.MLFlowLogger``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger


class JsonLines(Logger):
    """Writes one JSON object per logged row.

    Args:
        file: the file's path; rows are appended.
    """

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = Path(file)

    @property
    def name(self) -> str:
        return "json"

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row; a run calls it for every step that is logged, and for validations."""
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, **metrics}) + "\n")

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The run passes its hyperparameters; its folder has them in .hydra too."""
