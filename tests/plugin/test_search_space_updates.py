"""A search space that changes while a search is under way, as `nnictl update searchspace` brings it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from nni_nasoa.architecture import ArchitectureSpace
from nni_nasoa.cli.report import report
from nni_nasoa.plugin.evolution_tuner import EvolutionTuner
from nni_nasoa.search.choices import search_space
from nni_nasoa.search.front import read_records

SMALL = ArchitectureSpace(layers=(1, 2), channels=(16, 32), stages=(3,), blocks=(1, 2), doublings=(1, 2))
PLAIN = {"kind": {"_type": "choice", "_value": ["a", "b", "c"]}, "x": {"_type": "uniform", "_value": [0, 1]}}
TINY = {"kind": {"_type": "choice", "_value": ["a", "b", "c"]}}
TYPO = {"kind": {"_type": "chioce", "_value": ["a", "b"]}}


def test_a_new_search_space_with_a_typo_leaves_a_search_in_its_own(checkpoint, started, capsys):
    tuner = started(PLAIN, seed=0)
    asked = tuner.generate_parameters(0)
    tuner.update_search_space(TYPO)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "EvolutionTuner: the new search space is not taken, the search goes on in its own: "
    )
    assert "'kind' (chioce)" in line
    tuner.receive_trial_result(0, asked, 0.5)
    assert len(tuner.evolution.evaluated) == 1 and set(tuner.generate_parameters(1)) == set(PLAIN)


def test_nor_do_initial_candidates_that_a_new_space_has_not_end_it(started):
    tuner = started(search_space(SMALL), initial=["020-_16_11-21-21"])
    tuner.update_search_space(search_space(ArchitectureSpace(stages=(4,))))
    assert tuner.generate_parameters(0)["architecture"] == "020-_16_11-21-21"


def test_resumed_with_a_typo_it_goes_on_in_the_space_that_it_had(checkpoint, started, resumed):
    tuner = started(TINY, seed=0)
    tuner.receive_trial_result(0, tuner.generate_parameters(0), 0.5)
    again = resumed(TYPO, seed=0)
    assert len(again.evolution.evaluated) == 1
    assert {again.generate_parameters(number)["kind"] for number in range(2)} < {"a", "b", "c"}


def test_the_first_search_space_has_to_be_right():
    with pytest.raises(ValueError, match="chioce"):
        EvolutionTuner().update_search_space(TYPO)


@pytest.mark.slow
def test_nnictl_update_searchspace_with_a_typo_ends_nothing(nnictl, plain_config, tmp_path):
    tuner = {"className": "nni_nasoa.plugin.evolution_tuner.EvolutionTuner", "codeDirectory": str(tmp_path)}
    experiment = nnictl.create(plain_config(tuner, maxTrialNumber=8, trialConcurrency=1))
    (tmp_path / "typo.json").write_text(json.dumps(TYPO))
    nnictl("update", "searchspace", experiment.id, "--filename", tmp_path / "typo.json")
    log = experiment.folder / "log" / "nnictl_stdout.log"
    experiment.wait(lambda: "the new search space is not taken" in log.read_text())
    before = experiment.rest("/metric-data?type=FINAL")
    experiment.stop()
    experiment = nnictl.resume(experiment)
    experiment.wait_done()
    assert len(experiment.rest("/metric-data?type=FINAL")) >= 8 > len(before)  # NNI may run one again


def test_results_of_an_earlier_space_are_left_out_of_the_report(
    checkpoint, started, new_database, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    tuner = started(TINY)
    database = new_database(checkpoint.parent)
    for number, kind in enumerate("abc"):
        database.event(f"tri{number}", "WAITING", number, {"kind": kind})
        database.final(f"tri{number}", number, 0.9 - number / 10)
    tuner.update_search_space({"kind": {"_type": "choice", "_value": ["b", "c", "d"]}})
    done = CliRunner().invoke(report, [str(checkpoint.parent), "-o", "out"])
    assert done.exit_code == 0 and "2 evaluated, 1 on the front" in done.output, done.output
    assert "1 result is of an earlier search space and left out" in done.output
    assert [record["parameters"] for record in read_records("out/results.csv")] == [
        {"kind": "b"},
        {"kind": "c"},
    ]
