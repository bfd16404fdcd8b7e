"""`python -m nni_nasoa.cli`."""

from . import main

main(prog_name="nasoa")
