"""A search for blocks with the macro fixed, beside the classic blocks at several widths.

That is figure 9 of the paper, on the digits that come with scikit-learn in place of ImageNet-100. The classic
blocks are trained and timed first, as the paper has them: the basic block at three numbers of first channels,
the inverted residual and the bottleneck at two. Where they have its macro, the evolution is told of them.
Speeds are relative to those of the reference network, which is timed in turns, so that other work on the
machine moves neither.

    python examples/benchmarks/block_search.py   # some minutes; it can be stopped, and goes on there

The results are `data/block_search.jsonl`: a line for each network, in the order in which they were tried.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from outputs import output_file

from nni_nasoa.architecture import Architecture, ArchitectureSpace
from nni_nasoa.files import append_line
from nni_nasoa.plugin.search_trial import SearchTrialSettings, evaluate
from nni_nasoa.search.evolution import Evolution
from nni_nasoa.search.front import OBJECTIVES, read_records
from nni_nasoa.search.operators import ArchitectureOperators
from nni_nasoa.training.speed import environment

RESULTS = Path(__file__).parent / "data" / "block_search.jsonl"
WIDTH, STAGES = 16, "11-21-21"
CLASSIC = {"020-": (8, 16, 24), "14441-": (8, 16), "10001-": (16, 32)}
"""The first channels of each classic block; the paper's are four to sixteen times as many."""


def encoded(block: str, channels: int) -> str:
    return f"{block}_{channels}_{STAGES}"


def search(path: Path, networks: int, settings: SearchTrialSettings) -> None:
    """Try the classic networks, then blocks that the evolution asks for, until the file has so many."""
    records = read_records(path) if path.exists() else []
    operators = ArchitectureOperators(ArchitectureSpace(macros=(f"{WIDTH}_{STAGES}",)))
    classic = [encoded(block, channels) for block, widths in CLASSIC.items() for channels in widths]
    evolution = Evolution(operators, OBJECTIVES, population_size=16, surrogate=True, seed=[0, len(records)])

    def tell(record: dict) -> None:
        architecture = Architecture.parse(record["architecture"])
        if architecture.macro == Architecture.parse(encoded("020-", WIDTH)).macro:
            evolution.tell(architecture, record)

    for record in records:
        tell(record)
    known = {record["architecture"] for record in records}
    left = [Architecture.parse(text) for text in classic if text not in known]
    for number in range(len(records) + 1, networks + 1):
        architecture = left.pop(0) if left else evolution.ask()
        record = evaluate(architecture, settings)
        append_line(path, record | {"environment": environment(settings.device)})
        tell(record)
        print(
            f"{number} of {networks}: {record['architecture']}: {100 * record['accuracy']:.2f} %, "
            f"relative speed {record['relative_speed']:.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=67, help="in all, the classic ones among them")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--output", type=output_file, metavar="FILE", default=RESULTS)
    arguments = parser.parse_args()
    settings = SearchTrialSettings(
        epochs=arguments.epochs, input_size=32, batch_size=64, speed_batch_size=32, device="cpu"
    )
    search(arguments.output, arguments.networks, settings)


if __name__ == "__main__":
    main()
