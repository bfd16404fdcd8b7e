"""Records as earlier releases wrote them, and what becomes of them."""

from __future__ import annotations

import json
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nni_nasoa.advisor import ExperienceStore, RunRecord
from nni_nasoa.experience.migrations import MIGRATIONS, PAGE
from nni_nasoa.experience.old_records import outcome_of, upgraded_record
from nni_nasoa.experience.store import read_records
from nni_nasoa.training.outcome import Outcome, StopReason

# Sentences as the releases wrote them, and what they say.
SENTENCES = [
    ((), {}),
    (("evaluations are on 277 of 359 validation images, to keep them within the budget",), {}),
    (
        (
            "stopped: saturated: every validation image was right in 3 evaluations in a row",
            "evaluations are on 277 of 359 validation images, to keep them within the budget",
        ),
        {"reason": "saturated"},
    ),
    (
        (
            "stopped: diverged: the loss was nan again, at learning rate 3; a rate below 1 may do",
            "the loss was 1e+09 at learning rate 30: back to the best state, with 0.1 of the rate",
        ),
        {"reason": "diverged"},
    ),
    (
        (
            "the budget is too short for 8 training steps of about 4.4 s each: only the head is trained",
            "the budget is too short for one pass over the images: the head is fitted to 96 of 120",
        ),
        {"cut_to_head": True},
    ),
    (
        (
            (
                "decoding all images takes longer than the budget allows: 100 are trained on, "
                "30 validated on; "
                "a longer run decodes all of them, once; 1 of 46 images cannot be read and is left out"
            ),
        ),
        {"sampled": True, "train_images": 100, "val_images": 30},
    ),
    (
        (
            "out of memory: batch size 32 from here on, and the learning rate in proportion",
            "out of memory: batch size 16 from here on, and half the learning rate",
        ),
        {"halved_batch": 16},
    ),
    (
        ("1.6 s are left, too short for a step of about 0.5 s and what has to follow",),
        {"unused_seconds": 1.6},
    ),
]
KILLED = [
    (("stopped: interrupted: SIGTERM", "a note"), {"signal": "SIGTERM"}),
    (("stopped: interrupted: SIGINT",), {"signal": "SIGINT"}),
    (("stopped: interrupted: SIGHUP",), {}),
    ((), {}),
]


def old(record: RunRecord, notes, **changes) -> dict:
    """The record's JSON values as an earlier release wrote them."""
    data = record.to_json() | {"notes": list(notes)} | changes
    del data["outcome"]
    return data


@pytest.mark.parametrize("notes, told", SENTENCES)
def test_what_notes_told_of_a_run_that_went_well(make_record, notes, told):
    record = RunRecord.from_json(old(make_record(), notes))
    assert record.outcome == Outcome(**{"reason": "budget", **told}) and record.notes == notes
    assert RunRecord.from_json(record.to_json()) == record


@pytest.mark.parametrize("notes, told", KILLED)
def test_what_they_told_of_one_that_was_killed(make_record, notes, told):
    record = make_record(status="killed", seconds=None, accuracy=None)
    assert RunRecord.from_json(old(record, notes)).outcome == Outcome("interrupted", **told)


def test_one_that_failed_either_came_to_its_end_or_did_not(make_record):
    failed = make_record(status="failed", seconds=None, accuracy=None)
    assert RunRecord.from_json(old(failed, ())).outcome.reason is StopReason.BUDGET  # no time to evaluate
    assert RunRecord.from_json(old(failed, ("no memory",), epochs=None)).outcome.reason is StopReason.FAILED


@pytest.mark.parametrize("note", ["stopped: interrupted: SIGTERM", "stopped: failed", "stopped: by rain"])
def test_notes_that_contradict_the_status_are_not_believed(make_record, note):
    data = old(make_record(), (note,))
    assert RunRecord.from_json(data).outcome == Outcome(StopReason.BUDGET)


def test_a_record_that_says_its_outcome_is_not_read_for_sentences(make_record):
    data = make_record().to_json() | {"notes": [note for notes, _ in SENTENCES for note in notes]}
    assert upgraded_record(data) is data and RunRecord.from_json(data).outcome == Outcome(StopReason.BUDGET)


def test_words_alone_are_understood_too():
    assert outcome_of("interrupted: SIGINT", ()) == {"reason": "interrupted", "signal": "SIGINT"}
    assert outcome_of("survey", ("only the head is trained", 7)) == {"reason": "unknown", "cut_to_head": True}


@given(
    st.sampled_from(["ok", "failed", "killed"]),
    st.none() | st.just(1.0),
    st.lists(
        st.text(max_size=20) | st.sampled_from([n for notes, _ in (*SENTENCES, *KILLED) for n in notes])
    ),
)
def test_whatever_notes_say_there_is_an_outcome_that_the_status_can_have(status, epochs, notes):
    measured = {"seconds": 1.0, "accuracy": 0.5} if status == "ok" else {"seconds": None, "accuracy": None}
    notes = [note for note in notes if note.isprintable() and note.strip()]
    data = {
        "id": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
        "created": "2026-01-31T12:00:00Z",
        "task": "t",
        "profile": {},
        "model": "m",
        "model_figures": {},
        "regime": {"model": "m"},
        "device": "d",
        "threads": 1,
        "budget_seconds": 1,
        "predicted": None,
        "status": status,
        "epochs": epochs,
        "curve": [],
        "versions": {},
        "source": "import",
        "notes": notes[:100],
        **measured,
    }
    assert RunRecord.from_json(data).status == status


# -- where they lie --


def records_and_old_lines(make_record):
    """Records of every kind, and each as an earlier release wrote it."""
    kept = {"versions": {"torch": "2.4.0"}, "created": "2026-01-31T12:00:00.000000+00:00"}
    ok = [
        make_record(outcome=Outcome(**{"reason": "budget", **told}), notes=notes, **kept)
        for notes, told in SENTENCES
    ]
    killed = [
        make_record(
            status="killed",
            seconds=None,
            accuracy=None,
            outcome=Outcome("interrupted", **told),
            notes=notes,
            **kept,
        )
        for notes, told in KILLED
    ]
    return [(record, old(record, record.notes)) for record in (*ok, *killed)]


@pytest.mark.parametrize("least", [1, PAGE + 1])
def test_a_store_of_an_earlier_release_is_migrated(tmp_path, make_record, least):
    pairs = records_and_old_lines(make_record)
    while len(pairs) < least:
        pairs += records_and_old_lines(make_record)
    path = tmp_path / "old.db"
    ExperienceStore(path, migrations=MIGRATIONS[:1])
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO nasoa_runs (id, created, task, model, device, status, record) VALUES (?, ?, ?, ?, "
            "?, ?, ?)",
            [
                [
                    *(data[name] for name in ("id", "created", "task", "model", "device", "status")),
                    json.dumps(data),
                ]
                for _, data in pairs
            ],
        )
        connection.execute(
            "INSERT INTO nasoa_runs (id, created, task, model, device, status, "
            "record) VALUES ('x','9','','','','','{')"
        )
    connection.close()
    store = ExperienceStore(path)
    assert list(store.records(limit=None, task="digits")) == [record for record, _ in pairs]
    with sqlite3.connect(path) as connection:
        *kept, damaged = [
            text for (text,) in connection.execute("SELECT record FROM nasoa_runs ORDER BY number")
        ]
    assert damaged == "{" and all("outcome" in json.loads(text) for text in kept)
    with pytest.raises(ValueError, match="is a store of version 2, this nni-nasoa knows versions up to 1"):
        ExperienceStore(path, migrations=MIGRATIONS[:1])


def test_an_export_of_an_earlier_release_is_imported(tmp_path, make_record):
    pairs = records_and_old_lines(make_record)
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(data) + "\n" for _, data in pairs))
    store = ExperienceStore(tmp_path / "new.db")
    assert store.add_all(read_records(tmp_path / "runs.jsonl")) == len(pairs)
    assert list(store.records()) == [record for record, _ in pairs]


def test_a_record_that_an_older_process_adds_to_a_new_store_is_read(tmp_path, make_record):
    """It has the store open while another process migrates it."""
    store = ExperienceStore(tmp_path / "store.db")
    ((record, data), *_) = records_and_old_lines(make_record)
    store.add(record)
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("UPDATE nasoa_runs SET record = ?", [json.dumps(data)])
    connection.close()
    assert list(store.records()) == [record]
