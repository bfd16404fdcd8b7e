"""What a copy of a warm process carries out for `trial_start.py`: a search trial, until its first step."""

import trial_start

from nni_nasoa.plugin import search_trial


def main() -> None:
    """Carry out a trial."""
    trial_start.stop_at_the_first_step()
    search_trial.main()
