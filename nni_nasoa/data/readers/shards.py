"""WebDataset's shards: tar files in which `key.jpg` is an image, and `key.cls` or `key.json` says its label.

https://github.com/webdataset/webdataset: members whose paths are the same up to the first dot of the last
part are a sample. Nothing is unpacked: an image is known by its place in the shard (`Piece`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from glob import glob
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nni_nasoa.data.arrays import DatasetError
from nni_nasoa.data.columns import USUAL
from nni_nasoa.data.image_list import ImageList, Label, ListedImage
from nni_nasoa.data.parts import kinds_of_parts
from nni_nasoa.data.place import Piece
from nni_nasoa.data.walk import SUFFIXES, is_hidden
from nni_nasoa.files import parse_json
from nni_nasoa.messages import readable
from nni_nasoa.values import reason

from .reader import ReadOptions
from .table import label_of

if TYPE_CHECKING:
    import tarfile

CLASSES = "classes.txt"  # beside shards: a name in each line, in the order of the indices
_BLOCK = 512  # bytes, by which tar files are laid out
_CUT = "the shard is cut off or damaged"
_MOST = 2**20  # bytes of what says a label
_MOST_SHARDS = 100_000  # that a pattern may stand for
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_INDEX = re.compile(r"[0-9]{1,18}")
_NUMBER = re.compile(r"[-_.]?\d+$")


class ShardsReader:
    """A folder of `.tar` files, or one of them, or a pattern: `train-{000..009}.tar`, `train-*.tar`."""

    name = "webdataset"

    def recognises(self, given: Any) -> bool:
        """Whether it is a path that ends as such files do."""
        return isinstance(given, Path) and given.name.endswith((".tar", ".tar.gz", ".tgz"))

    def recognises_folder(self, folder: Path, files: Sequence[str], folders: Sequence[str]) -> bool:
        """Whether it holds such files beside no folders, or folders that are parts hold some."""
        shown = [name for name in folders if not is_hidden(name)]
        if any(map(_is_shard, files)):
            return not shown
        return any(_begins_with_shard(folder / part) for part in kinds_of_parts(shown))

    def read(self, given: Path, options: ReadOptions) -> ImageList:
        """The images; a DatasetError of one line where there are none with labels, or no shards."""
        place = readable(str(given))
        if options.columns.path is not None or options.columns.part is not None:
            raise DatasetError(f"{place}: shards have no columns of paths or parts; only labels have a name")
        try:
            given = Path(os.path.abspath(given))
            shards, missing = (_in_folder(given), []) if given.is_dir() else _matching(given)
        except OSError as error:
            raise DatasetError(f"{place}: cannot be read ({reason(error)})") from error
        if not shards:
            raise DatasetError(f"{place}: there is no such file")
        root = os.path.commonpath([*map(os.path.dirname, shards)])
        names = {shard: os.path.relpath(shard, root) for shard in shards}
        parts, images, notes = _parts([*names.values()]), list[ListedImage](), list[str]()
        if missing:
            notes.append(f"not there: {len(missing)} shards; the first: {readable(missing[0])}")
        for shard, name in names.items():
            found = _read(shard, options.columns.label)
            images += [
                ListedImage(f"{name}/{member}", label, parts.get(name), piece)
                for member, label, piece in found.images
            ]
            if found.problem:
                used = f"the {len(found.images)} images before that are used" if found.images else "not used"
                notes.append(f"{readable(name)}: {found.problem}; {used}")
        if not images:
            what = "; ".join(notes[:1]) or "no images in it; key.jpg beside key.cls or key.json is needed"
            raise DatasetError(f"{place}: {what}")
        if all(image.label is None for image in images):
            raise DatasetError(
                f"{place}: no image has a label: key.cls, or key.json with a label, is needed beside key.jpg "
                "(unpack an archive of folders of classes)"
            )
        return ImageList(images, Path(root), _classes(Path(root)), tuple(notes))


class _Found(NamedTuple):
    """The images of a shard, with their names in it and their labels, and what is wrong with it."""

    images: list[tuple[str, Label, Piece]]
    problem: str | None


def _read(shard: str, label_name: str | None) -> _Found:
    """The images of a shard that are there as a whole."""
    import tarfile  # as most datasets are no such files

    images: dict[str, tuple[str, Piece]] = {}
    labels: dict[str, Label] = {}
    problem = None
    try:
        if shard.endswith("gz"):
            raise OSError("it is compressed; unpack it to a .tar")
        size = os.path.getsize(shard)
        with tarfile.open(shard, "r:") as tar:
            for member in _members(tar):
                if member.offset_data + member.size > size:
                    break
                key, ending = _split(member.name)
                if os.path.splitext(member.name)[1].lower() in SUFFIXES:
                    images.setdefault(key, (member.name, Piece(shard, member.offset_data, member.size)))
                elif ending == "cls" and label_name is None:
                    labels[key] = _index_or_text(_content(tar, member))
                elif ending == "json":
                    labels.setdefault(key, _named_label(_content(tar, member), label_name))
        problem = None if _ends_at(shard, tar.offset) else _CUT
    except (tarfile.TarError, OSError) as error:
        problem = _CUT if images else f"it cannot be read ({reason(error)})"
    return _Found([(name, labels.get(key), piece) for key, (name, piece) in images.items()], problem)


def _ends_at(shard: str, place: int) -> bool:
    """Whether the block of zeros that ends a tar file is there."""
    with open(shard, "rb") as file:
        file.seek(place)
        return file.read(_BLOCK) == bytes(_BLOCK)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return b"" if file is None else file.read(_MOST)


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members that are files, whose bytes lie there as they are."""
    for member in tar:
        if member.size < 0:  # it would lead back to the same place, again and again
            raise OSError("a member of negative size")
        if member.isreg() and not member.issparse() and not _is_hidden(member.name):
            yield member


def _is_hidden(name: str) -> bool:
    return any(is_hidden(part) for part in name.split("/") if part != ".")


def _split(name: str) -> tuple[str, str]:
    """The key of a member's sample, and what follows its dot."""
    folder, _, base = name.rpartition("/")
    stem, _, ending = base.partition(".")
    return f"{folder}/{stem}", ending.lower()


def _named_label(content: bytes, label_name: str | None) -> Label:
    """The value in JSON of a name, or of a usual one; None where there is none."""
    with suppress(ValueError):
        about = parse_json(content)
        if isinstance(about, dict):
            usual = (name for name in USUAL["label"] if name in about)
            value = about.get(label_name or next(usual, ""))
            return _index_or_text(value) if isinstance(value, (str, bytes)) else label_of(value)
    return None


def _index_or_text(value: str | bytes) -> Label:
    label = label_of(value)
    return int(label) if isinstance(label, str) and _INDEX.fullmatch(label) else label


def _classes(folder: Path) -> list[str] | None:
    """Names of the classes that lie beside shards, if they do."""
    path = folder / CLASSES
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{readable(str(path))}: cannot be read ({reason(error)})") from error
    return [line.strip() for line in lines if line.strip()]


def _parts(names: Sequence[str]) -> dict[str, str]:
    """The parts of shards by their names, as in train-0001.tar or train/0001.tar, if these tell any."""
    stems = {name: _NUMBER.sub("", os.path.basename(name).removesuffix(".tar")) for name in names}
    for told in (stems, {name: os.path.dirname(name) for name in names}):
        if kinds := kinds_of_parts({*told.values()}):
            return {name: part if part in kinds else part or "other" for name, part in told.items()}
    return {}


def _is_shard(name: str) -> bool:
    return name.endswith(".tar") and not is_hidden(name)


def _begins_with_shard(folder: Path) -> bool:
    """Whether the first file that the system names in a folder is a shard, without reading all of it."""
    with suppress(OSError), os.scandir(folder) as entries:
        return any(_is_shard(entry.name) for entry in islice(entries, 1))
    return False


def _in_folder(folder: Path) -> list[str]:
    """Shards in a folder, or else in those in it that are parts."""
    places = [folder, *(folder / part for part in sorted(kinds_of_parts(os.listdir(folder))))]
    for some in (places[:1], places[1:]):
        if found := [
            os.path.join(place, name)
            for place in some
            if os.path.isdir(place)
            for name in sorted(os.listdir(place))
            if _is_shard(name)
        ]:
            return found
    return []


def _matching(pattern: Path) -> tuple[list[str], list[str]]:
    """The files that a pattern stands for, and what of it stands for none.

    Braces come first, as the shell has them, then *, ? and [].
    """
    if os.path.exists(pattern):
        return [str(pattern)], []
    matching = {one: sorted(glob(one)) for one in _expanded(str(pattern))}
    found = dict.fromkeys(path for paths in matching.values() for path in paths)
    return [*found], [one for one, paths in matching.items() if not paths]


def _expanded(text: str) -> list[str]:
    """What a text with {000..012} and {a,b} stands for."""
    pieces = re.split(r"\{([^{}]*)\}", text)
    choices = [_choices(piece) if number % 2 else [piece] for number, piece in enumerate(pieces)]
    number = 1
    for one in choices:
        number *= len(one)
    if number > _MOST_SHARDS:
        raise DatasetError(f"{readable(text)}: stands for {number} shards, where {_MOST_SHARDS} are the most")
    return ["".join(one) for one in product(*choices)]


def _choices(text: str) -> list[str]:
    """What is in braces: numbers of one width from the first to the last, or what commas separate."""
    if (match := _RANGE.fullmatch(text)) is None:
        return text.split(",")
    first, last = int(match[1]), int(match[2])
    if last - first >= _MOST_SHARDS:
        raise DatasetError(f"{{{text}}}: more than {_MOST_SHARDS} shards")
    return [f"{number:0{len(match[1])}}" for number in range(first, last + 1)]


READER = ShardsReader()
