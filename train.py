"""Train one model, or sweep over many settings.

python train.py optimizer=adam
python train.py sweep=quick
python train.py --help
"""

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float:
    """Compose the configuration and train; returns the objective to Hydra's sweepers."""
    from stepsize.main import run_job

    return run_job(cfg)


if __name__ == "__main__":
    main()
