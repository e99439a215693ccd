"""A real TensorBoard server on loopback, asked through its HTTP interface as its page asks it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

_EVERY_STATUS = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]


class Server:
    """Asks a running server.

    Args:
        address: ``http://127.0.0.1:6006``.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, route: str, **query: str) -> Any:
        """What a plugin answers to ``route``, such as ``scalars/tags``."""
        with urlopen(
            f"{self.address}/data/plugin/{route}?{urlencode(query)}", timeout=30
        ) as answer:
            return json.load(answer)

    def post(self, route: str, **message: Any) -> Any:
        """What a plugin answers to a message."""
        headers = {"Content-Type": "application/json"}
        request = Request(
            f"{self.address}/data/plugin/{route}", json.dumps(message).encode(), headers
        )
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def curve(self, run: str, tag: str) -> dict[int, float]:
        """Values by step."""
        points = self.get("scalars/scalars", run=run, tag=tag)
        return {step: float(value) for _, step, value in points}

    def groups(self) -> dict[str, dict[str, Any]]:
        """The rows of the HPARAMS tab by name, as TensorBoard sends them."""
        found = self.post(
            "hparams/session_groups", experimentName="", allowedStatuses=_EVERY_STATUS,
            colParams=[], startIndex=0, sliceSize=1000,
        )  # fmt: skip
        return {group["name"]: group for group in found["sessionGroups"]}

    def sessions(self) -> dict[str, dict[str, Any]]:
        """The row of each run."""
        return {s["name"]: group for group in self.groups().values() for s in group["sessions"]}

    def rows(self) -> dict[str, dict[str, Any]]:
        """Of each run that has its own row: columns by name, ``status``, and metrics by tag."""
        rows = {}
        for name, group in self.sessions().items():
            (session,) = group["sessions"]
            metrics = {m["name"]["tag"]: m["value"] for m in group.get("metricValues", [])}
            rows[name] = {**group["hparams"], "status": session["status"], "metrics": metrics}
        return rows

    def columns(self) -> tuple[list[str], list[str]]:
        """The names of all hyperparameters and of all metrics, in the tab's order."""
        found = self.post("hparams/experiment", experimentName="", includeMetrics=True)
        metrics = [info["name"]["tag"] for info in found["metricInfos"]]
        return [info["name"] for info in found["hparamInfos"]], metrics


@contextmanager
def served(logdir: Path, ready: Callable[[Server], bool], *words: str) -> Iterator[Server]:
    """Serve a folder as ``tensorboard --logdir`` does.

    Args:
        logdir: the folder.
        ready: whether all that is expected has been read; asked until it is so, for a minute.
        *words: more options.
    """
    options = ["--logdir", str(logdir), "--port", "0", "--host", "127.0.0.1"]
    options += ["--reload_interval", "1", *words]
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        told = []
        for line in process.stdout:
            told.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            raise RuntimeError("".join(told))
        server = Server(found[0])
        wait_until(lambda: ready(server))
        yield server
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Ask again and again."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.2)
