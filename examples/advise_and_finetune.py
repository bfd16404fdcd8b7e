"""What is advised and why, carried out, and recorded: the steps that `nasoa-advise --run` takes, in Python.

    python examples/advise_and_finetune.py --dataset /data/flowers --minutes 2

The run goes into the store of experience, from which the next advice learns.
"""

import argparse
import sys
import time

from nni_nasoa.advisor import ExperienceStore, advise, record_result
from nni_nasoa.finetune import Timing, finetune, record_of


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="digits", help="a folder, a file that lists images, or a name")
    parser.add_argument("--minutes", type=float, default=0.5, help="for the advice and the run together")
    parser.add_argument("--store", help="a file or a URL; by default the user's own")
    parser.add_argument("--output", default="my-classifier")
    arguments = parser.parse_args()

    with ExperienceStore(arguments.store) as store:
        started = time.monotonic()
        advice = advise(arguments.dataset, arguments.minutes, store=store, started=started)
        for choice in advice.choices:
            print(
                f"{choice.regime.model}: {100 * choice.accuracy:.0f} % expected "
                f"({100 * choice.low:.0f} to {100 * choice.high:.0f}), {choice.seconds:.0f} s"
            )
        print("because", "; ".join(advice.best.why))

        result = finetune(
            arguments.dataset,
            advice.best.regime,
            advice.budget / 60,
            weights=advice.best.weights,
            output=arguments.output,
            timing=Timing(advice.made),
        )
        print(f"{100 * result.accuracy:.1f} % after {time.monotonic() - started:.1f} s; {result.outcome}")
        record_result(store, record_of(result, **advice.about(advice.best)))
        print(f"{store.location} has {len(list(store.records()))} runs now")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")
