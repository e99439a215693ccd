"""A trained run, built again from its folder: configuration, data, model and weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SavedRun:
    """A run's folder with its configuration and its checkpoint.

    Attributes:
        file: ``checkpoints/last.ckpt``.
        config: the configuration with every interpolation resolved, for the folder as it lies now.
    """

    file: Path
    config: dict[str, Any]

    @classmethod
    def of(cls, folder: Path, overrides: Sequence[str] = ()) -> SavedRun:
        """Read a run's folder.

        Args:
            folder: of the run.
            overrides: of its data: ``data.KEY=VALUE``, ``+data.KEY=VALUE`` or ``data=NAME``.

        Raises:
            ValueError: the folder is not a run's, has no checkpoint, or an override is not one of
                its data.
        """
        file = folder / "checkpoints" / "last.ckpt"
        if not file.is_file():
            raise ValueError(
                f"{folder}: there is no checkpoints/last.ckpt; give the folder of a run"
            )
        if not (folder / ".hydra" / "config.yaml").is_file():
            raise ValueError(f"{folder}: there is no .hydra/config.yaml; give the folder of a run")
        return cls(file, _settled_config(folder, overrides))

    @cached_property
    def checkpoint(self) -> dict[str, Any]:
        """What ``last.ckpt`` holds, on the CPU."""
        import torch

        checkpoint: dict[str, Any] = torch.load(self.file, map_location="cpu", weights_only=True)
        return checkpoint

    def build(self) -> tuple[Any, Any]:
        """The data module, and the LightningModule with the checkpoint's weights.

        Call it within ``allowing(config["allowed_packages"])``.
        """
        import pytorch_lightning as pl

        from stepsize.config.instantiate import instantiate

        pl.seed_everything(self.config["seed"], workers=True, verbose=False)
        data = instantiate(self.config["data"], where="data")
        module = instantiate(self.config["model"], where="model")
        module.load_state_dict(self.checkpoint["state_dict"], assign=True)
        parameters = list(module.parameters())
        if parameters:
            module.to(parameters[0].dtype)  # buffers that are not saved
        return data, module


def _settled_config(folder: Path, overrides: Sequence[str]) -> dict[str, Any]:
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.utils import setup_globals
    from omegaconf import OmegaConf

    import stepsize.sweeps.jobs  # noqa: F401  (registers the resolvers that conf/ uses)
    from stepsize.config.resolve import resolved_config

    saved: Any = {
        name: OmegaConf.load(folder / ".hydra" / f"{name}.yaml")
        for name in ("config", "hydra", "overrides")
    }
    setup_globals()
    saved["hydra"].hydra.runtime.output_dir = str(folder)
    hydra = HydraConfig.instance()
    before, hydra.cfg = hydra.cfg, saved["hydra"]  # interpolations look there
    logging.disable(logging.INFO)  # the run has logged what is resolved how
    try:
        runtime = saved["hydra"].hydra.runtime
        for override in overrides:
            _override_data(saved["config"], override, runtime.config_sources)
        choices = {key: str(value) for key, value in runtime.choices.items()}
        config, _ = resolved_config(saved["config"], choices, tuple(saved["overrides"]))
    finally:
        hydra.cfg = before
        logging.disable(logging.NOTSET)
    return config


def _override_data(config: Any, text: str, sources: Any) -> None:
    """Apply one override to the data of a run's configuration."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    override = OverridesParser.create().parse_override(text)
    key, value = override.key_or_group, override.value()
    if override.is_sweep_override() or override.is_delete() or key.split(".")[0] != "data":
        raise ValueError(
            f"{text}: give one value for the data: data.KEY=VALUE, +data.KEY=VALUE or data=NAME"
        )
    if key == "data":
        config.data = _data_file(str(value), sources)
        return
    inner = key.removeprefix("data.")
    if not override.is_add() and OmegaConf.select(config.data, inner, default=_MISSING) is _MISSING:
        known = ", ".join(f"data.{name}" for name in config.data)
        raise ValueError(f"{text}: there is no {key} in this run; give one of {known}, or +{text}")
    OmegaConf.update(config, key, value, force_add=True)


_MISSING = object()


def _data_file(name: str, sources: Any) -> Any:
    """The file ``data/NAME.yaml`` from the folders that the run was configured from."""
    from omegaconf import OmegaConf

    folders = [Path(source.path) / "data" for source in sources if source.schema == "file"]
    for folder in folders:
        file = folder / f"{name}.yaml"
        if file.is_file():
            config = OmegaConf.load(file)
            if "defaults" in config:
                raise ValueError(
                    f"data={name}: {file.name} extends other files; give data.KEY=VALUE"
                )
            return config
    known = sorted(file.stem for folder in folders for file in folder.glob("*.yaml"))
    raise ValueError(f"data={name}: there is no such file; give one of {', '.join(known)}")
