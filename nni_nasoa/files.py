"""How a file is written so that a kill does no harm; locks between processes; the user's folders.

A file is replaced in one step (`replacing`, `write_bytes`, `write_text`): it is there as it was, or as it is
to be. A file of JSON lines grows by whole lines (`append_line`), and is read without those that were damaged
(`read_lines`). A lock belongs to an open file, and is free once that is closed or its process has died
(`locked`, `take_lock`).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from nni_nasoa.values import reason

PARTIAL = ".partial"  # how the name of what is not whole yet ends
STALE_SECONDS = 2.0  # since a draft was last written to, after which it is locked if it is in use
POLL_SECONDS = 0.005  # between two tries to take a lock, where the wait is limited
APPENDING_SECONDS = 10.0  # to wait for others who append to the same file; then they are taken for stuck
MAX_JSON = 2**28  # bytes; nothing that is written here is near to that
_TOKEN = 4  # random bytes in the name of a draft
_DRAFT_END = rf"[0-9a-f]{{{2 * _TOKEN}}}{re.escape(PARTIAL)}"

StrPath = str | os.PathLike[str]


# -- the user's folders --


def cache_folder() -> Path:
    """Where decoded images and downloads are kept: what NASOA_CACHE names, or ~/.cache/nni_nasoa."""
    return _named("NASOA_CACHE", "~/.cache/nni_nasoa")


def weights_folder() -> Path:
    """Where published weights are looked for: what NASOA_WEIGHTS names, or ~/.cache/nni_nasoa/weights."""
    return _named("NASOA_WEIGHTS", "~/.cache/nni_nasoa/weights")


def zoo_folder() -> Path:
    """Where the user's own models are kept: what NASOA_ZOO names, or the folder zoo in `data_folder`."""
    return _named("NASOA_ZOO", data_folder() / "zoo")


def default_store() -> str:
    """The user's store of experience: what NASOA_STORE names, a file or a URL, or one in `data_folder`."""
    return os.environ.get("NASOA_STORE") or str(data_folder() / "experience.db")


def data_folder() -> Path:
    """Where what cannot be made again is kept: nni_nasoa in XDG_DATA_HOME, by default ~/.local/share."""
    return _named("XDG_DATA_HOME", "~/.local/share") / "nni_nasoa"


def own_folder(path: StrPath) -> Path:
    """Make a folder that is the user's own; its path.

    What is not there of it is made so that nobody else may look into it, and it is closed to others where it
    was there, as earlier releases and other programs make theirs.

    Raises
    ------
    OSError
        It cannot be made, or closed.
    """
    path = Path(path)
    for missing in reversed([one for one in (path, *path.parents) if not one.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)  # an error where it is no folder
    about = path.stat()
    if about.st_mode & 0o077 and about.st_uid == os.getuid():
        path.chmod(0o700)
    return path


def own_file(path: StrPath, flags: int) -> int:
    """Open a file that nobody else may read where it has to be made; the `opener` of `open`."""
    return os.open(path, flags, 0o600)


def _named(variable: str, otherwise: StrPath) -> Path:
    return Path(os.environ.get(variable) or otherwise).expanduser()


# -- files that are replaced in one step --


@contextmanager
def replacing(path: StrPath, *, durable: bool = False) -> Iterator[Path]:
    """Give a draft beside a file, to be written to; the draft takes the file's place in the end.

    Where the block raises, the file stays as it is, and the draft goes. Drafts of processes that were killed
    go with the next one. What a link leads to is replaced, not the link; what is no file, such as a pipe, is
    given itself.

    Parameters
    ----------
    durable
        Whether the content is on the disk before the file is replaced, so that it outlives a power cut, too.
        A kill alone takes nothing that was written, and to wait for a busy disk may take seconds.

    Raises
    ------
    OSError
        The folder, or the draft, cannot be written to.
    """
    target = Path(path)
    if target.is_symlink():
        target = target.resolve()
    if target.exists() and not target.is_file():
        yield target
        return
    remove_drafts(target)
    draft = target.with_name(f"{_draft_start(target)}{secrets.token_hex(_TOKEN)}{PARTIAL}")
    with draft.open("xb") as file:
        with suppress(OSError):  # a file system without locks
            take_lock(file, patience=0)  # says for as long as this takes that the draft is in use
        try:
            yield draft
            if durable:
                with draft.open("rb") as written:
                    os.fsync(written.fileno())
            draft.replace(target)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)


def write_bytes(path: StrPath, content: bytes, *, durable: bool = False) -> Path:
    """Write a file in one step, see `replacing`; its path."""
    with replacing(path, durable=durable) as draft:
        draft.write_bytes(content)
    return Path(path)


def write_text(path: StrPath, content: str, *, durable: bool = False) -> Path:
    """Write a file of text in UTF-8 in one step, see `replacing`; its path."""
    return write_bytes(path, content.encode("utf-8"), durable=durable)


def remove_drafts(path: Path) -> None:
    """Remove what processes that were killed have left of drafts of a file."""
    with suppress(OSError):
        for name in os.listdir(path.parent):
            if is_draft(name, path.name):
                with suppress(OSError):
                    _remove_unused(path.with_name(name))


def is_draft(name: str, *of: str) -> bool:
    """Whether a name is one that `replacing` gives to drafts of a file with one of these names."""
    return any(re.fullmatch(re.escape(_draft_start(Path(one))) + _DRAFT_END, name) for one in of)


def _draft_start(path: Path) -> str:
    return f".{path.name[:50]}."  # a part of the longest names, for there is a limit to a name's length


def _remove_unused(draft: Path) -> None:
    if abs(time.time() - draft.stat().st_mtime) > STALE_SECONDS:  # the clock may have been set back
        with draft.open("rb") as file:
            if take_lock(file, patience=0):
                draft.unlink()


# -- files of JSON lines --


def append_line(path: StrPath, value: Any, *, durable: bool = False) -> None:
    """Add a value to a file of JSON lines, which is made where there is none.

    It is added whole or not at all, on a line of its own even where the last one was torn. Several processes
    may do so at once.

    Parameters
    ----------
    durable
        Whether the line is on the disk when this returns, so that it outlives a power cut, too.

    Raises
    ------
    OSError
        The file cannot be written to.
    """
    line = json.dumps(value).encode() + b"\n"
    with open(path, "ab+", buffering=0) as file:
        with suppress(OSError):  # a file system without locks: one write at the end of the file has to do
            take_lock(file, patience=APPENDING_SECONDS)
        end = file.seek(0, os.SEEK_END)
        if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
            line = b"\n" + line
        _write_whole(file, line, end)
        if durable:
            os.fsync(file.fileno())


def _write_whole(file: BinaryIO, content: bytes, end: int) -> None:
    """Write at the end of a file; where the disk gets full, take back the part for which there was room."""
    written = 0
    try:
        while written < len(content):
            written += file.write(content[written:])
    except OSError:
        if os.fstat(file.fileno()).st_size == end + written:
            file.truncate(end)
        raise


def read_lines(path: StrPath, damaged: Callable[[int, ValueError], None]) -> Iterator[tuple[int, Any]]:
    """The numbers, from 1, and the values of a file's JSON lines; empty lines are passed over.

    Parameters
    ----------
    damaged
        Called for a line that is none, such as one that was torn in a power cut, with its number and an error
        of one line. It may raise an error; where it does not, the line is left out.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    for number, line in enumerate(Path(path).read_bytes().split(b"\n"), start=1):
        if line.strip():
            try:
                value = parse_json(line)
            except ValueError as error:
                damaged(number, error)
            else:
                yield number, value


# -- JSON, and YAML --


def read_json(path: StrPath) -> Any:
    """The value in a file of JSON.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        As `parse_json` raises it, or the file is larger than MAX_JSON bytes.
    """
    with Path(path).open("rb") as file:
        content = file.read(MAX_JSON + 1)
    if len(content) > MAX_JSON:
        raise ValueError(f"not JSON of at most {MAX_JSON} bytes")
    return parse_json(content)


def parse_json(content: str | bytes) -> Any:
    """The value of a text in JSON.

    Raises
    ------
    ValueError
        It is none, not in UTF-8, nested too deeply, or has a number of thousands of digits; one line.
    """
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
        return json.loads(text)
    except UnicodeDecodeError:
        raise ValueError("not text in UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({reason(error)})") from None


def parse_yaml(text: str) -> Any:
    """The value of a text in YAML, by its safe types alone.

    Raises
    ------
    ValueError
        It is none, or is nested too deeply; the message is one line.
    """
    import yaml

    try:
        return yaml.safe_load(text)
    # What looks like a number or a date, and is none that Python has, raises errors of Python's.
    except (yaml.YAMLError, RecursionError, ValueError, ArithmeticError) as error:
        raise ValueError(f"not YAML ({reason(error)})") from None


# -- locks between processes --


@contextmanager
def locked(path: StrPath, *, patience: float | None = None) -> Iterator[None]:
    """Hold the lock of a file, which is made where there is none.

    Parameters
    ----------
    patience
        As `take_lock` takes it.

    Raises
    ------
    BlockingIOError
        Another one holds it for longer than that.
    """
    with open(path, "ab", opener=own_file) as file:
        if not take_lock(file, patience=patience):
            raise BlockingIOError(f"{path}: another process holds the lock")
        yield


def check_can_be_written(*paths: StrPath | None) -> None:
    """Raise ValueError of one line where a file could not be written in the end; None is no file."""
    for path in paths:
        if path is None:
            continue
        folder = Path(path).parent
        if not folder.is_dir():
            raise ValueError(f"{path}: cannot be written (there is no folder {folder})")
        if not os.access(folder, os.W_OK):
            raise ValueError(f"{path}: cannot be written (no permission in {folder})")


def open_lock(path: StrPath, mode: int = 0o666) -> int:
    """The descriptor of a file to be locked, made if it is not there; nobody's link or pipe is waited on.

    Raises
    ------
    OSError
        It cannot be opened, or is no file.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{path} is no file")
    return file


def take_lock(file: int | BinaryIO, *, shared: bool = False, patience: float | None = None) -> bool:
    """Take the lock of an open file, for as long as it is open; whether that was done.

    Parameters
    ----------
    file
        A file, or its descriptor.
    shared
        Whether others may share it.
    patience
        Seconds to wait for those who hold it; None waits for as long as it takes.

    Raises
    ------
    OSError
        The file system knows no locks.
    """
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    if patience is None:
        fcntl.flock(file, how)
        return True
    deadline = time.monotonic() + patience
    while True:  # a system that could be asked for a time would not have to be asked again and again
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(POLL_SECONDS)
