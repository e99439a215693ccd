"""Draw the plot of a run from its folder, for example after a sweep with plots=false.

    python -m stepsize plot outputs/runs/2026-01-31_12-00-00.000000_curve-adam

The plot is the one that the run's configuration names, such as fit.png, and shows the weights of
checkpoints/last.ckpt. It is written into the run's folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run's folder")


def run(arguments: argparse.Namespace) -> str:
    """Draw every plot of the run's configuration; return their paths, one on each line.

    Raises:
        ValueError: the folder is not a run's, or the plot needs what the checkpoint lacks.
    """
    import torch

    from stepsize.config.instantiate import allowing, instantiate, locate
    from stepsize.optim import build_optimizer, sparse_parameter_names
    from stepsize.plots.callback import Plot

    folder = arguments.folder
    file = folder / "checkpoints" / "last.ckpt"
    if not file.is_file():
        raise ValueError(f"{folder}: there is no checkpoints/last.ckpt; give the folder of a run")
    checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    config = _settled_config(folder)
    drawn = []
    with allowing(config["allowed_packages"]):
        data = instantiate(config["data"], where="data")
        data.prepare_data()
        data.setup("fit")
        module = instantiate(config["model"], where="model")
        module.load_state_dict(checkpoint["state_dict"], assign=True)  # in its own precision
        optimizer = build_optimizer(
            config["optimizer"],
            module.named_parameters(),
            config["param_groups"],
            sparse=sparse_parameter_names(module),
        )
        for name, entry in (config["callbacks"] or {}).items():
            kind = locate(entry["_target_"]) if entry else None
            if not (isinstance(kind, type) and issubclass(kind, Plot)):
                continue
            plot = instantiate(entry, where=f"callbacks.{name}")
            if plot.state_dict():  # collected while the run trained
                if plot.state_key not in checkpoint["callbacks"]:
                    raise ValueError(
                        f"{plot.file.name} needs what a run collects while it trains, and the "
                        "checkpoint does not hold it: train again with plots=true"
                    )
                plot.load_state_dict(checkpoint["callbacks"][plot.state_key])
            plot.save(module, data, [optimizer], checkpoint["global_step"])
            drawn.append(str(plot.file))
    if not drawn:
        raise ValueError(f"{folder}: the configuration names no plot, see callbacks.plot")
    return "\n".join(drawn)


def _settled_config(folder: Path) -> dict[str, Any]:
    """The run's configuration with every interpolation resolved, for the folder as it lies now."""
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
    HydraConfig.instance().cfg = saved["hydra"]  # interpolations look there
    choices = {key: str(value) for key, value in saved["hydra"].hydra.runtime.choices.items()}
    config, _ = resolved_config(saved["config"], choices, tuple(saved["overrides"]))
    return config
