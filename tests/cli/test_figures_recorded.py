import json

import pytest
from click.testing import CliRunner
from documents import ROOT
from PIL import Image

from nni_nasoa.cli import main
from nni_nasoa.figures.runs import append_run


@pytest.fixture
def nasoa(tmp_path, monkeypatch):
    """Run the command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        result = CliRunner().invoke(main, ["figures", *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.mark.parametrize(
    "name, source",
    [
        ("budgets", "advisor_budgets.json"),
        ("model-trade-off", "advisor_budgets.json"),
        ("block-search", "block_search.jsonl"),
    ],
)
def test_what_comes_with_the_package_is_drawn_without_anything_else(nasoa, tmp_path, name, source):
    result = nasoa(name)
    assert result.exit_code == 0 and result.output.startswith(f"written to {name}.png, from ")
    assert result.output.endswith(f"benchmarks/data/{source}\n") and "torch" in result.output
    assert Image.open(tmp_path / f"{name}.png").width > 1000
    for arguments, message in (
        (["-o", f"{name}.xyz"], "xyz"),
        (["--records", "no.json"], "no.json"),
        (["-o", "no/where.png"], "no folder"),
    ):
        result = nasoa(name, *arguments)
        assert result.exit_code == 1 and message in result.stderr and result.stderr.count("\n") == 1


def test_own_records_are_drawn(nasoa, tmp_path, recorded):
    limits = ROOT / "examples" / "benchmarks" / "data" / "advisor_budgets.json"
    (tmp_path / "own.json").write_text(limits.read_text())
    assert nasoa("budgets", "-o", "own.svg", "--records", "own.json").output.endswith(", own.json\n")
    (tmp_path / "bad.json").write_text(json.dumps([]))
    result = nasoa("budgets", "--records", "bad.json")
    assert (
        result.exit_code == 1
        and "bad.json: no accuracies" in result.stderr
        and result.stderr.count("\n") == 1
    )
    results = str(ROOT / "examples" / "nano_family" / "results.csv")
    assert nasoa("block-search", "-o", "own.pdf", "--records", results).output.endswith(", results.csv\n")
    for budget in (5.0, 20.0):
        append_run(tmp_path / "model-trade-off.jsonl", recorded([(0.1, 0.2), (budget, 0.8)], budget=budget))
    assert nasoa("model-trade-off").output.endswith("from the 2 runs in model-trade-off.jsonl\n")
    result = nasoa("model-trade-off", "--model", "nano-f")
    assert result.exit_code == 1 and "no runs with --model nano-f" in result.stderr
