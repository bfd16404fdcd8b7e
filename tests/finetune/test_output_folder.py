"""Nothing of the user's is lost where a run saves, and two runs do not save in one folder."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from nni_nasoa.finetune.classifier import save_classifier
from nni_nasoa.finetune.errors import ClassifierError
from nni_nasoa.finetune.loading import load_classifier
from nni_nasoa.finetune.output_folder import reserved


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def classifier(saved_classifier):
    """A folder with a classifier."""
    return saved_classifier(("a", "b"))


def test_a_new_folder_an_empty_one_and_a_classifiers_are_written_to(tmp_path, classifier):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "new" / "deep", tmp_path / "empty", classifier):
        before = contents(path) if path.is_dir() else {}
        with reserved(path) as folder:
            assert os.path.isdir(folder) and folder.path == path
        assert contents(path) == before
    (classifier / "classifier.json").write_text("an edit went wrong")
    (classifier / "notes.txt").write_text("of the user's")
    with reserved(classifier):
        pass


def other_weights(folder):
    save_file({"x": torch.ones(2)}, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text("{}")


def weights_beside_our_description(folder):
    other_weights(folder)
    (folder / "classifier.json").write_text(json.dumps({"format": "nni-nasoa classifier"}))


def no_weights_at_all(folder):
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)


def a_link_to_other_weights(folder):
    (folder.parent / "theirs").mkdir()
    other_weights(folder.parent / "theirs")
    (folder / "model.safetensors").symlink_to(folder.parent / "theirs" / "model.safetensors")


def another_description(folder):
    (folder / "classifier.json").write_text('{"labels": [1, 2]}')


def evaluations_and_a_thesis(folder):
    (folder / "evaluations.jsonl").write_text('{"epoch": 1}\n')
    (folder / "thesis.tex").write_text("all of it")


def a_draft_of_another_program(folder):
    (folder / ".mydraft.partial").write_text("half of a thesis")


def a_draft_of_another_programs_weights(folder):
    (folder / ".model.safetensors.mine.partial").write_text("half of them")


@pytest.mark.parametrize(
    "put, named",
    [
        (other_weights, "model.safetensors"),
        (weights_beside_our_description, "model.safetensors"),
        (no_weights_at_all, "model.safetensors"),
        (a_link_to_other_weights, "model.safetensors"),
        (another_description, "classifier.json"),
        (evaluations_and_a_thesis, "evaluations.jsonl"),
        (a_draft_of_another_program, ".mydraft.partial"),
        (a_draft_of_another_programs_weights, ".model.safetensors.mine.partial"),
    ],
)
def test_what_is_not_ours_is_refused_in_one_line_and_stays(tmp_path, put, named):
    folder = tmp_path / "folder"
    folder.mkdir()
    put(folder)
    before = contents(folder)
    with pytest.raises(ClassifierError, match="give a new folder") as error, reserved(folder):
        pass
    assert "\n" not in str(error.value) and named in str(error.value) and str(folder) in str(error.value)
    assert contents(folder) == before


def test_a_save_leaves_others_drafts_alone(classifier, tiny):
    mine = classifier / ".model.safetensors.mine.partial"
    mine.write_text("half of a thesis")
    os.utime(mine, (0, 0))
    loaded = load_classifier(classifier)
    save_classifier(classifier, loaded.network.state_dict(), loaded.about)
    assert mine.read_text() == "half of a thesis"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ClassifierError, match=r"cannot write to .*file"), reserved(tmp_path / "file"):
        pass
    os.mkdir(tmp_path / "c")
    os.mkfifo(tmp_path / "c" / ".nasoa.lock")
    with pytest.raises(ClassifierError, match="is no file"), reserved(tmp_path / "c"):
        pass


HOLD = """
import sys
from nni_nasoa.finetune.output_folder import reserved
with reserved(sys.argv[1]) as folder:
    (folder.path / "evaluations.jsonl").write_text("{}")
    print("there", flush=True)
    sys.stdin.read()
"""


def test_one_run_at_a_time_and_a_killed_one_is_no_obstacle(tmp_path):
    folder = tmp_path / "c"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "there\n"
        told = pytest.raises(ClassifierError, match=r"another run is saving in .*c; give another")
        with told as error, reserved(folder):
            pass
        assert "\n" not in str(error.value)
        other.send_signal(signal.SIGKILL)
    assert contents(folder)["evaluations.jsonl"] == b"{}"  # it has saved nothing else
    with reserved(folder):
        pass


def test_what_is_reserved_already_stays_so(tmp_path):
    with reserved(tmp_path / "c") as folder:
        with reserved(folder) as again:
            assert again is folder
        with pytest.raises(ClassifierError, match="another run"), reserved(tmp_path / "c"):
            pass
    with reserved(tmp_path / "c"):
        pass
