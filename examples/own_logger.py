"""A logger of your own: one JSON object per line, beside TensorBoard and metrics.csv.

    python train.py --config-dir examples/conf logger=own_logger 'allowed_packages=[examples]'

Any pytorch_lightning logger works, also those of Weights & Biases or MLflow. The run passes it one
row at a time: all values of a step in one call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger


class JsonLines(Logger):
    """Appends rows to a file as lines such as {"step": 10, "train/loss": 0.5}.

    Args:
        file: where to write, in the run's folder.
    """

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = Path(file)

    @property
    def name(self) -> str:
        """Lightning asks for a name and a version; a single file needs neither."""
        return "json"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Not needed here, because .hydra/config.yaml has the whole configuration."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row. Step s is after s updates, so that row 0 shows the initial weights."""
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, **metrics}) + "\n")
