import json

import pytest
from click.testing import CliRunner
from documents import ROOT

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.advisor.accuracy.predictor import prior_records
from nni_nasoa.cli import main
from nni_nasoa.cli.figures_all import inventory


@pytest.fixture
def nasoa(tmp_path, monkeypatch):
    """Run the command in an empty folder that is the home, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*arguments):
        result = CliRunner().invoke(main, list(arguments))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def test_search_space_drawing(nasoa, tmp_path):
    result = nasoa("figures", "search-space", "-o", "space.svg")
    assert result.exit_code == 0 and result.output == "written to space.svg\n"
    assert (tmp_path / "space.svg").stat().st_size > 1000
    for arguments, message in (("--config no.yml", "no.yml"), ("-o space.xyz", "xyz")):
        result = nasoa("figures", "search-space", *arguments.split())
        assert result.exit_code == 1 and message in result.stderr and result.stderr.count("\n") == 1


def test_efficiency_drawings(nasoa, tmp_path):
    small = (
        "--measure",
        "--device",
        "cpu",
        "--input-size",
        "32",
        "--batch-size",
        "2",
        "--network",
        "et-nas-a",
    )
    result = nasoa("figures", "training-efficiency", "-o", "training.svg", *small)
    assert result.exit_code == 0 and result.stderr.startswith("et-nas-a: training step ")
    assert result.output.splitlines()[-1].endswith("with the 1 networks measured in step-times.json")
    assert (tmp_path / "training.svg").stat().st_size > 1000
    # The other figure draws what was measured for this one.
    result = nasoa("figures", "inference-efficiency", "-o", "inference.png")
    assert result.output.endswith("measured in step-times.json\n") and (tmp_path / "inference.png").exists()
    result = nasoa("figures", "nas-comparison", "-o", "nas.pdf")
    assert result.output == "written to nas.pdf\n" and (tmp_path / "nas.pdf").stat().st_size > 1000
    for arguments, status, message in (
        ("--records no.json", 1, "no.json"),
        ("--network et-nas-a", 2, "add --measure"),
        ("--measure --network et-nas-z", 1, "did you mean 'et-nas-"),
        ("-o training.xyz", 1, "xyz"),
        ("--measure --records no/where.json", 1, "no"),
    ):
        result = nasoa("figures", "training-efficiency", *arguments.split())
        assert result.exit_code == status and message in result.stderr and result.stderr.count("\n") == 1


def test_claims(nasoa, tmp_path):
    result = nasoa("figures", "claims", "-o", "claims.html")
    assert result.exit_code == 0 and result.output.endswith("written to claims.html\n")
    assert "5.06 times" in result.output and (tmp_path / "claims.html").stat().st_size > 1000
    assert nasoa("figures", "claims").exit_code == 0
    (tmp_path / "bad.json").write_text("[]")
    for arguments, message in (
        ("-o claims.png", ".html"),
        ("-o no/claims.md", "no folder"),
        ("--records no.json", "no.json"),
        ("--records bad.json", "no file of step times"),
    ):
        result = nasoa("figures", "claims", *arguments.split())
        assert result.exit_code == 1 and message in result.stderr and result.stderr.count("\n") == 1


def test_overview(nasoa, tmp_path):
    assert nasoa("figures", "overview", "-o", "overview.svg").output == "written to overview.svg\n"
    (tmp_path / "file").write_text("")
    for command, message in (
        ("overview -o overview.xyz", "xyz"),
        ("overview --store file/no.db", "file"),
        ("all -o file/figures", "file"),
        ("all --store overview.svg", "overview.svg"),
    ):
        result = nasoa("figures", *command.split())
        assert result.exit_code == 1 and message in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.slow
def test_all_figures_with_what_was_measured(nasoa, tmp_path):
    folder = tmp_path / "nasoa-figures"
    folder.mkdir()
    times = ROOT / "examples" / "benchmarks" / "data" / "step_time_cpu_small.json"
    (folder / "step-times.json").write_text(times.read_text())
    result = nasoa("figures", "all")
    assert result.exit_code == 0
    assert result.output == "written to nasoa-figures/index.html, with 22 files beside it\n"
    assert len(list(folder.iterdir())) == 24
    assert "--measure" not in (folder / "index.html").read_text()  # that is drawn already


def test_what_the_user_has_is_counted(nasoa, tmp_path, monkeypatch):
    store = tmp_path / "own.db"
    monkeypatch.setenv("NASOA_STORE", str(store))
    before = inventory(None)
    assert (before.experiments, before.runs, before.datasets) == (0, 0, 0) and before.prior_runs > 1000
    known = prior_records()
    of_one = [record for record in known if record.task == known[0].task]
    runs = [*of_one[:2], next(record for record in known if record.task != known[0].task)]
    with ExperienceStore(store) as opened:
        opened.add_all(runs)
    folder = tmp_path / "nni-experiments"
    folder.mkdir()
    (folder / ".experiment").write_text(json.dumps({"abc12345": {"logDir": str(folder)}}))  # NNI's notes
    found = inventory(None)
    assert (found.experiments, found.runs) == (1, 3)
    assert found.datasets == 2 and found.store.endswith("own.db")
