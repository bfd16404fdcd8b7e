"""The command `nasoa`. Every command imports what it needs when it runs, so that `nasoa --help` answers at once."""

from __future__ import annotations

import click

from nni_nasoa import __version__

from .experience import experience
from .figures import figures
from .finetune import finetune
from .predict import predict
from .report import report
from .zoo import zoo


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nasoa")
def main():
    """Search networks that train fast, and look at what was found."""


for command in (report, zoo, finetune, predict, figures, experience):
    main.add_command(command)
