"""Train one model, or compare many in a sweep.

python train.py optimizer=adam
python train.py sweep=quick
python train.py --help
"""

import sys

import hydra
from omegaconf import DictConfig

from stepsize.config.schema import refuse_renamed_overrides


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float:
    """Train what the configuration describes; returns the objective to Hydra's sweepers."""
    from stepsize.main import run_job

    return run_job(cfg)


if __name__ == "__main__":
    refuse_renamed_overrides(sys.argv[1:])
    main()
