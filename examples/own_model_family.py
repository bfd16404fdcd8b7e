"""Register a family of networks, and let it be advised and fine-tuned as those of the zoo are.

    python examples/own_model_family.py --dataset /data/flowers --minutes 1

CONTRIBUTING.md tells what a family may have beside this, pretrained weights above all.
"""

import argparse
import sys

from nni_nasoa.advisor import advise
from nni_nasoa.finetune import finetune
from nni_nasoa.zoo import ModelInfo, register_family

WIDTHS = {"plain-16": 16, "plain-32": 32}


class PlainFamily:
    """Three stages of plain convolutions, in two widths."""

    name = "plain"

    def models(self):
        return {name: ModelInfo(name, self.name, input_size=32) for name in WIDTHS}

    def create(self, info, num_classes, weights):
        from torch import load, nn

        width, stages = 3, []
        for out in (WIDTHS[info.name] * factor for factor in (1, 2, 4)):
            stages.append(nn.Sequential(nn.Conv2d(width, out, 3, 2, 1), nn.BatchNorm2d(out), nn.ReLU()))
            width = out
        network = nn.Sequential()
        network.features = nn.Sequential(*stages)
        network.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        network.head = nn.Linear(width, num_classes)
        if weights not in (None, "default"):  # a file; there are no pretrained ones of this family
            network.load_state_dict(load(weights, weights_only=True))
        return network


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--minutes", type=float, default=0.5, help="for the advice, and again for the run")
    arguments = parser.parse_args()
    register_family(PlainFamily())
    advice = advise(arguments.dataset, arguments.minutes, zoo="plain")
    print("advised:", advice.best.regime.model, "of", ", ".join(WIDTHS))
    result = finetune(arguments.dataset, advice.best.regime, arguments.minutes, weights=advice.best.weights)
    print(f"{100 * result.accuracy:.1f} % after {result.epochs:.3g} epochs")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")
