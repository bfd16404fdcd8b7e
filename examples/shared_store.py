"""Two processes that fine-tune, and one store in which all of their runs are: what one learns, all know.

    python examples/shared_store.py --store team.db
    python examples/shared_store.py --store postgresql://user@server/database

A file is for processes of one machine; a PostgreSQL database, with `pip install 'nni-nasoa[postgresql]'`, for
those of several.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from nni_nasoa.advisor import ExperienceStore, record_result
from nni_nasoa.finetune import FineTuneRegime, finetune, record_of


def run(store: str, dataset: str, model: str, minutes: float) -> str:
    """Fine-tune, and record the run."""
    result = finetune(dataset, FineTuneRegime(model), minutes)
    with ExperienceStore(store) as opened:
        record_result(opened, record_of(result))
    return f"{model}: {100 * result.accuracy:.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", default="team.db", help="a file, or a URL")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--minutes", type=float, default=0.3, help="of each run")
    parser.add_argument("--models", nargs="+", default=["nano-a", "nano-b"], help="one for each process")
    arguments = parser.parse_args()
    # Processes that are started afresh: torch's threads do not outlive a fork.
    with ProcessPoolExecutor(len(arguments.models), get_context("spawn")) as pool:
        runs = [
            pool.submit(run, arguments.store, arguments.dataset, model, arguments.minutes)
            for model in arguments.models
        ]
        for finished in runs:
            print(finished.result())
    with ExperienceStore(arguments.store) as store:
        for record in store.records():
            print(f"{record.created}: {record.model} on {record.task}, {100 * (record.accuracy or 0):.1f} %")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")
