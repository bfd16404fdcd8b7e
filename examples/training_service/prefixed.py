"""A custom training service of NNI: trials on this machine, begun through a command of your own.

With `prefix: nice -n 19` they leave the machine to others; with `srun --gres gpu:1`, say, they wait for a GPU
of a cluster whose folders are the same everywhere. NNI has to find this module by its name until it is
unregistered:

    export PYTHONPATH=$PWD/examples/training_service
    nnictl trainingservice register --package prefixed
    nnictl create --config examples/training_service/search_prefixed.yml --foreground
    nnictl trainingservice unregister --package prefixed

What starts the trials is `prefixed.cjs`; here is what NNI's Python asks for: the fields of the config.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nni.experiment.config.training_service import TrainingServiceConfig


@dataclass(init=False)
class PrefixedConfig(TrainingServiceConfig):
    """The config's `trainingService`."""

    platform: str = "prefixed"
    prefix: str = "nice -n 19"
    reuse_mode: bool = True  # NNI gives custom services no trials otherwise


@dataclass(frozen=True)
class Service:
    """What `nnictl trainingservice register` reads."""

    config_class: type
    node_module_path: Path
    node_class_name: str


nni_training_service_info = Service(
    PrefixedConfig, Path(__file__).with_name("prefixed.cjs"), "PrefixedEnvironmentService"
)
