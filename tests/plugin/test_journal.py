"""The journal of a tuner: what was appended is there after any restart."""

import logging

from nni_nasoa.plugin.journal import Journal


def reloaded(path):
    journal = Journal(path)
    journal.load()
    return journal.events


def test_events_are_there_after_a_restart(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.load()
    journal.append(kind="asked", number=1)
    journal.append(kind="told", metrics={"accuracy": float("inf")})
    assert (
        reloaded(path)
        == journal.events
        == [
            {"kind": "asked", "number": 1},
            {"kind": "told", "metrics": {"accuracy": float("inf")}},
        ]
    )


def test_a_torn_line_and_what_is_no_event_are_left_out_with_a_warning(tmp_path, caplog):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"kind": "asked"}\n[1]\n{"kind": "to')
    journal = Journal(path)
    with caplog.at_level(logging.WARNING):
        journal.load()
    journal.append(kind="failed")
    assert reloaded(path) == journal.events == [{"kind": "asked"}, {"kind": "failed"}]
    assert [line for line in ("line 2 is", "line 3 is") if line in caplog.text] == ["line 2 is", "line 3 is"]


def test_without_a_file_events_are_kept_in_memory():
    journal = Journal(None)
    journal.load()
    journal.append(kind="asked")
    assert journal.events == [{"kind": "asked"}]
