"""The command `nasoa`.

Every command imports what it needs when it runs, so that `nasoa --help` answers at once.
"""

from __future__ import annotations

import click

from nni_nasoa import __version__

from .advise import advise
from .evaluate import evaluate
from .experience import experience
from .figures import figures
from .finetune import finetune
from .predict import predict
from .report import report
from .serve import serve
from .terminal import OneLineGroup
from .zoo import zoo


@click.group(cls=OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nasoa")
def main() -> None:
    """Fine-tune the network that your minutes can buy, and search networks that train fast."""


for command in (advise, finetune, predict, serve, evaluate, experience, zoo, figures, report):
    main.add_command(command)
