"""Files outlive a kill in the midst of a write, and several writers, and locks between them."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nni_nasoa.files import (
    STALE_SECONDS,
    append_line,
    locked,
    own_folder,
    read_lines,
    remove_drafts,
    replacing,
    take_lock,
    write_bytes,
    write_text,
)


@pytest.fixture
def process():
    """Function (code, *arguments) that starts a Python with this module's functions at hand."""
    started = []

    def start(code, *arguments):
        head = "import sys, time\nfrom pathlib import Path\nfrom nni_nasoa.files import *\n"
        child = subprocess.Popen(
            [sys.executable, "-c", head + textwrap.dedent(code), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def values(path):
    """What the lines of a file hold, and the numbers of those that are damaged."""
    damaged = []
    return [value for _, value in read_lines(path, lambda number, error: damaged.append(number))], damaged


# -- folders of the user's own --


def modes(*paths):
    return [oct(stat.S_IMODE(path.stat().st_mode)) for path in paths]


def test_what_is_made_of_a_folder_is_for_the_user_alone(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "there").mkdir(mode=0o755)
    umask = os.umask(0)
    try:
        path = own_folder(tmp_path / "there" / "a" / "b")
        with locked(path / "lock"):
            assert modes(path / "lock") == ["0o600"]
    finally:
        os.umask(umask)
    assert modes(path, path.parent, path.parent.parent, tmp_path) == ["0o700", "0o700", "0o755", "0o755"]


def test_a_folder_of_the_users_is_closed_and_one_behind_a_link_too(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there").chmod(0o777)
    (tmp_path / "link").symlink_to("there")
    assert own_folder(tmp_path / "link") == tmp_path / "link" and modes(tmp_path / "there") == ["0o700"]
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        own_folder(tmp_path / "file")


# -- files that are replaced in one step --


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "a.json"
    assert write_text(path, "é\n") == path and path.read_bytes() == "é\n".encode()
    assert write_bytes(str(path), b"2", durable=True) == path and path.read_bytes() == b"2"
    assert names(tmp_path) == ["a.json"]


def test_it_can_be_read_by_whoever_may_read_other_files_of_the_user(tmp_path):
    (tmp_path / "other").touch()
    write_text(tmp_path / "a", "1")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_an_error_leaves_the_file_as_it_was_and_no_draft(tmp_path):
    path = tmp_path / "a"
    path.write_text("before")
    with (
        pytest.raises(UnicodeEncodeError),
        replacing(path) as draft,
        draft.open("w", encoding="ascii") as file,
    ):
        file.writelines(["half", "é"])
    with pytest.raises(FileNotFoundError), replacing(path) as draft:
        draft.unlink()  # as a library may that fails
    assert path.read_text() == "before" and names(tmp_path) == ["a"]


def test_a_library_may_make_the_draft_anew(tmp_path):
    with replacing(tmp_path / "a", durable=True) as draft:
        draft.unlink()
        draft.write_text("new")
    assert (tmp_path / "a").read_text() == "new" and names(tmp_path) == ["a"]


def test_the_longest_names_have_drafts_too(tmp_path):
    name = "é" * 127
    write_text(tmp_path / name, "1")
    assert names(tmp_path) == [name]


def test_what_a_link_leads_to_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "a")
    for text in ("1", "2"):
        write_text(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "there" / "a").read_text() == text
    assert names(tmp_path / "there") == ["a"]


def test_a_pipe_is_written_to_and_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()), daemon=True)
    reader.start()
    write_text(tmp_path / "pipe", "through")
    reader.join(60)
    assert read == ["through"] and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_no_folder_or_no_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "none" / "a", "1")
    with pytest.raises(IsADirectoryError):
        write_text(tmp_path, "1")
    assert names(tmp_path) == []


HALF_WRITTEN = """
    with replacing(sys.argv[1]) as draft:
        draft.write_text("half")
        print("written", flush=True)
        time.sleep(600)
"""


def test_a_kill_in_the_midst_of_a_write_does_no_harm(tmp_path, process):
    path = tmp_path / "a"
    path.write_text("before")
    child = process(HALF_WRITTEN, path)
    assert child.stdout.readline() == "written\n" and path.read_text() == "before"
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert path.read_text() == "before" and len(names(tmp_path)) == 2
    write_text(path, "after")
    assert path.read_text() == "after" and len(names(tmp_path)) == 2  # it might be in use still
    age(tmp_path)
    write_text(path, "later")
    assert path.read_text() == "later" and names(tmp_path) == ["a"]


def test_a_draft_that_is_being_written_stays_however_long_that_takes(tmp_path, process):
    child = process(HALF_WRITTEN, tmp_path / "a")
    assert child.stdout.readline() == "written\n"
    age(tmp_path)
    remove_drafts(tmp_path / "a")
    assert len(names(tmp_path)) == 1
    child.send_signal(signal.SIGKILL)
    child.wait()
    remove_drafts(tmp_path / "b")
    assert len(names(tmp_path)) == 1
    remove_drafts(tmp_path / "a")
    assert names(tmp_path) == []


def test_only_our_own_drafts_are_removed(tmp_path):
    for name in (".a.mine.partial", ".a.partial", ".a.0123456789.partial", ".b.01234567.partial"):
        (tmp_path / name).touch()
    (tmp_path / ".a.01234567.partial").touch()
    before = names(tmp_path)
    age(tmp_path)
    write_text(tmp_path / "a", "new")
    assert names(tmp_path) == sorted({*before, "a"} - {".a.01234567.partial"})


def age(folder, seconds=2 * STALE_SECONDS):
    for path in folder.iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


def test_a_clock_that_was_set_back_keeps_no_draft_for_ever(tmp_path):
    (tmp_path / ".a.01234567.partial").touch()
    age(tmp_path, -(10**6))
    write_text(tmp_path / "a", "new")
    assert names(tmp_path) == ["a"]


def test_of_several_writers_one_is_the_last_and_nobody_sees_a_part(tmp_path, process):
    code = """
        for number in range(60):
            write_text(sys.argv[1], sys.argv[2] * 100_000)
    """
    path = tmp_path / "a"
    write_text(path, "z" * 100_000)
    children = [process(code, path, letter) for letter in "abc"]
    seen = set()
    while any(child.poll() is None for child in children):
        text = path.read_text()
        assert len(text) == 100_000 and len(set(text)) == 1
        seen.add(text[0])
    assert [child.returncode for child in children] == [0, 0, 0] and names(tmp_path) == ["a"]
    assert path.read_text()[0] in "abc" and len(seen | {path.read_text()[0]}) > 1


# -- files of JSON lines --

lines = st.lists(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=6,
)


@given(lines)
def test_lines_are_read_as_they_were_added(tmp_path_factory, added):
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    path.touch()
    for value in added:
        append_line(path, value)
    assert values(path) == (added, [])


@given(st.integers(0, 200), st.binary(max_size=20).filter(lambda tail: b"\n" not in tail))
def test_what_a_power_cut_tore_off_takes_no_other_line_with_it(tmp_path_factory, cut, rubbish):
    path = tmp_path_factory.mktemp("torn") / "a.jsonl"
    for number in range(5):
        append_line(path, {"number": number, "text": "x" * number})
    whole = path.read_bytes()[:cut].count(b"\n")
    path.write_bytes(path.read_bytes()[:cut] + rubbish)
    append_line(path, {"number": 9})
    found, damaged = values(path)
    assert found[:whole] == [{"number": number, "text": "x" * number} for number in range(whole)]
    assert found[-1] == {"number": 9} and len(damaged) <= 1 and len(found) <= whole + 2
    append_line(path, {"number": 10})
    assert values(path) == ([*found, {"number": 10}], damaged)


def test_a_damaged_line_is_told_with_its_number(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'1\n\n  \n{"a": \n"\xff"\n' + b"[" * 100_000 + b"\n2")
    told = []
    assert list(read_lines(path, lambda *damage: told.append(damage))) == [(1, 1), (7, 2)]
    assert [number for number, _ in told] == [4, 5, 6]
    assert [str(error).partition(" (")[0] for _, error in told] == [
        "not JSON",
        "not text in UTF-8",
        "not JSON",
    ]
    assert all("\n" not in str(error) for _, error in told)
    with pytest.raises(FileNotFoundError):
        list(read_lines(tmp_path / "none", print))


def test_who_reads_may_insist_that_no_line_is_damaged(tmp_path):
    def refuse(number, error):
        raise SystemExit(f"line {number}: {error}")

    (tmp_path / "a").write_text("1\n{\n")
    with pytest.raises(SystemExit, match=r"^line 2: not JSON \(Expecting property name .*\)$"):
        list(read_lines(tmp_path / "a", refuse))


def test_writers_that_append_at_the_same_time_lose_nothing(tmp_path, process):
    code = """
        for number in range(200):
            append_line(sys.argv[1], [sys.argv[2], number, "x" * 30_000 * (number % 20 == 0)])
    """
    path = tmp_path / "a.jsonl"
    children = [process(code, path, name) for name in "ab"]
    assert [child.wait(120) for child in children] == [0, 0]
    found, damaged = values(path)
    assert not damaged and sorted((name, number) for name, number, _ in found) == [
        (name, number) for name in "ab" for number in range(200)
    ]


def test_a_killed_writer_leaves_whole_lines_and_no_lock(tmp_path, process):
    code = """
        for number in range(10**9):
            append_line(sys.argv[1], [number, "x" * 50_000], durable=number % 10 == 0)
            if not number:
                print("begun", flush=True)
    """
    path = tmp_path / "a.jsonl"
    child = process(code, path)
    assert child.stdout.readline() == "begun\n"
    time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.wait()
    append_line(path, "after")
    found, damaged = values(path)
    assert found[-1] == "after" and [number for number, _ in found[:-1]] == list(range(len(found) - 1))
    assert len(damaged) <= 1


def test_where_the_disk_is_full_no_part_of_a_line_stays(tmp_path, process):
    code = """
        import resource, signal
        append_line(sys.argv[1], 1)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit fails, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            append_line(sys.argv[1], "x" * 1000)
        except OSError:
            print(Path(sys.argv[1]).read_text())
    """
    child = process(code, tmp_path / "a")
    assert child.communicate(timeout=60)[0] == "1\n\n"


# -- locks --


def test_a_lock_is_exclusive_and_goes_with_its_process(tmp_path, process):
    code = """
        with locked(sys.argv[1]):
            print("locked", flush=True)
            time.sleep(600)
    """
    child = process(code, tmp_path / "lock")
    assert child.stdout.readline() == "locked\n"
    start = time.monotonic()
    with pytest.raises(BlockingIOError), locked(tmp_path / "lock", patience=0.2):
        pass
    assert time.monotonic() - start >= 0.2
    child.send_signal(signal.SIGKILL)
    with locked(tmp_path / "lock"):
        child.wait()


def test_who_shares_a_lock_keeps_out_who_does_not(tmp_path):
    with open(tmp_path / "a", "wb") as first, open(tmp_path / "a", "rb") as second:
        assert take_lock(first, shared=True) and take_lock(second, shared=True, patience=0)
        assert not take_lock(second.fileno(), patience=0)
    with open(tmp_path / "a", "rb") as third:
        assert take_lock(third, patience=0)


def test_only_the_standard_library_is_imported_for_it():
    code = "import sys; before = set(sys.modules); import nni_nasoa.files; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded - set(sys.stdlib_module_names) == {"nni_nasoa"}
