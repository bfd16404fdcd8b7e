"""What is fuzzed: readers of what users and other programs write.

Each takes any bytes. It raises where the reader does what it must not: raise another error than its own, say
more than one short line, or keep a value that it does not keep once more.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

MOST = 1000  # characters of a message


def encoding(data: bytes) -> None:
    """An ET-NAS encoding."""
    from nni_nasoa.architecture import Architecture, ArchitectureError

    try:
        found = Architecture.parse(data.decode("utf-8", "surrogateescape"))
    except ArchitectureError as error:
        _check_line(error)
        return
    assert Architecture.parse(str(found)) == found
    assert found.parameters() > 0 and found.macs() > 0


def regime(data: bytes) -> None:
    """A regime in YAML, or in a file of JSON."""
    from nni_nasoa.training.regime import FineTuneRegime, RegimeError

    for suffix in (".yml", ".json"):
        try:
            found = FineTuneRegime.load(_file(f"regime{suffix}", data))
        except RegimeError as error:
            _check_line(error)
        else:
            assert FineTuneRegime.from_json(found.to_json()) == found
            assert FineTuneRegime.from_yaml(found.to_yaml()) == found


def classifier(data: bytes) -> None:
    """The classifier.json beside the weights of a small network."""
    from nni_nasoa.finetune.errors import ClassifierError
    from nni_nasoa.finetune.loading import load_classifier

    folder = _classifier_folder()
    (folder / "classifier.json").write_bytes(data)
    try:
        found = load_classifier(folder)
    except ClassifierError as error:
        _check_line(error)
    else:
        assert len(found.classes) == 3 and found.regime and found.outcome


def front(data: bytes) -> None:
    """A front file, or the results of a search."""
    from nni_nasoa.search.front import FrontError, pareto_front, read_front, read_records

    for reader, name in (
        (read_front, "front.json"),
        (read_records, "front.json"),
        (read_records, "results.jsonl"),
        (read_records, "results.csv"),
    ):
        try:
            found = reader(_file(name, data))
        except FrontError as error:
            _check_line(error)
        else:
            pareto_front(found)


def record(data: bytes) -> None:
    """The record of a run, as it is exported."""
    from nni_nasoa.experience.records import RecordError, RunRecord
    from nni_nasoa.files import parse_json

    try:
        value = parse_json(data)
    except ValueError as error:
        _check_line(error)
        return
    try:
        found = RunRecord.from_json(value)
    except RecordError as error:
        _check_line(error)
    else:
        assert RunRecord.from_json(found.to_json()) == found


def table(data: bytes) -> None:
    """A CSV file that lists images."""
    _read(_file("images.csv", data))


def shard(data: bytes) -> None:
    """A shard of images and their labels."""
    _read(_file("images.tar", data))


def saved(data: bytes) -> None:
    """The Arrow file of a dataset of Hugging Face."""
    _file("data.arrow", data)
    _file("state.json", b'{"_data_files": [{"filename": "data.arrow"}]}')
    kinds = b'{"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["a", "b"]}}'
    _file("dataset_info.json", b'{"features": %s}' % kinds)
    _read(_folder())


def _read(path: Path) -> None:
    """List the images of a dataset, and open each."""
    from nni_nasoa.data import Dataset, DatasetError
    from nni_nasoa.data.decoded import decode_one
    from nni_nasoa.data.image_files import sample_of

    try:
        files = Dataset(path).files
        listing, place = files.listing, files.place
    except DatasetError as error:
        _check_line(error)
        return
    assert len(listing.classes) > 1
    for file in listing.files:
        decode_one(sample_of(place, file), 8)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (encoding, regime, classifier, front, record, table, shard, saved)
}


def _check_line(error: Exception) -> None:
    line = str(error)
    assert line and "\n" not in line and len(line) <= MOST, f"{type(error).__name__}: {line[:200]!r}"


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="nasoa-fuzz-"))


def _file(name: str, data: bytes) -> Path:
    (_folder() / name).write_bytes(data)
    return _folder() / name


@cache
def _classifier_folder() -> Path:
    """With the weights that `SEED_CLASSIFIER` describes."""
    from nni_nasoa.finetune.classifier import save_classifier
    from nni_nasoa.networks import ETNet

    return save_classifier(_folder() / "classifier", ETNet("2-_8_2-1-1", 3).state_dict(), {"id": "fuzz"})
