"""What the project's Markdown files say, for the tests that hold them to the code and to the data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Document:
    """A Markdown file, named by its path from the repository's root."""

    name: str

    @cached_property
    def path(self) -> Path:
        return ROOT / self.name

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def words(self) -> str:
        """The text with single spaces, so that no end of a line divides a sentence."""
        return " ".join(self.text.split())

    def blocks(self, language: str) -> list[str]:
        """The fenced blocks in a language."""
        return re.findall(rf"^```{language}\n(.*?)^```", self.text, re.MULTILINE | re.DOTALL)

    def rows(self, heading: str) -> list[list[str]]:
        """The cells of the table whose first heading cells are these."""
        lines = map(str.strip, self.text.splitlines())
        next(line for line in lines if line.startswith(f"| {heading} |"))
        next(lines)
        table = []
        while (line := next(lines, "")).startswith("|"):
            table.append([cell.strip(" *`") for cell in line.strip("|").split("|")])
        return table


README = Document("README.md")
CONFIGS = Document("experiment_configs/README.md")
EXAMPLES = Document("examples/README.md")
MEASURED = Document("examples/benchmarks/README.md")
CONTRIBUTING = Document("CONTRIBUTING.md")
CHANGELOG = Document("CHANGELOG.md")
DOCUMENTS = (README, CONFIGS, EXAMPLES, MEASURED, CONTRIBUTING, CHANGELOG)
