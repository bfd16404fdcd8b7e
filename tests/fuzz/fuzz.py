"""Fuzz what reads the files of users, guided by coverage (atheris), each target in a process of its own.

python tests/fuzz/fuzz.py                       all targets, a minute each, side by side
python tests/fuzz/fuzz.py record --seconds 600  one of them, longer
python tests/fuzz/fuzz.py --keep                add what was found to the corpus

It begins with the corpus, tests/fuzz/corpus/TARGET/. An input that breaks a target is written there as
crash-HASH, to be committed with the mending: `test_corpus.py` replays all of them.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
SLOWEST = 20  # seconds for an input
MEMORY = 4096  # MB for a process, torch included
HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**63, 10**299, 10**400, 0.5, -0.0, 1e308, -1e308, 1e-320, float("nan"),
    float("inf"), "", " ", "x" * 5000, "\x1b[2J\n", "\ud800", "a\x00b", "../x",
    "1e400", [], {}, [[]], {"": {}}, [1] * 2000,
)  # fmt: skip


def main() -> None:
    """Run what is asked for; exit status 1 where a target broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    sys.path.insert(0, str(HERE))
    from targets import TARGETS

    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--keep", action="store_true", help="add what finds new ways to the corpus")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if arguments.here:
        _fuzz(arguments.targets[0], arguments.seconds, arguments.keep)
    names = arguments.targets or list(TARGETS)
    options = ["--here", "--seconds", str(arguments.seconds), *["--keep"] * arguments.keep]
    with tempfile.TemporaryDirectory() as logs:
        processes = {
            name: subprocess.Popen(
                [sys.executable, __file__, name, *options],
                stdout=open(Path(logs, name), "ab"),  # noqa: SIM115 - for the process
                stderr=subprocess.STDOUT,
            )
            for name in names
        }
        broken = [name for name, process in processes.items() if process.wait() != 0]
        for name in names:
            lines = Path(logs, name).read_text(errors="replace").splitlines()
            print(f"== {name}: {'broken' if name in broken else 'holds'}")
            print("\n".join(lines[-60:] if name in broken else lines[-2:]))
    raise SystemExit(bool(broken))


def _fuzz(name: str, seconds: int, keep: bool) -> None:
    """Fuzz a target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["nni_nasoa"]):
        from targets import TARGETS

        TARGETS[name](b"")  # what it imports is instrumented, too
    own = CORPUS / name
    own.mkdir(parents=True, exist_ok=True)
    folders = [str(own)]
    if not keep:  # what libFuzzer finds goes into the first folder
        folders.insert(0, tempfile.mkdtemp(prefix="nasoa-fuzz-found-"))
    atheris.Setup(
        [
            sys.argv[0],
            *folders,
            f"-max_total_time={seconds}",
            f"-timeout={SLOWEST}",
            f"-rss_limit_mb={MEMORY}",
            f"-artifact_prefix={own}/",
            "-max_len=20000",
            "-reload=0",
        ],
        TARGETS[name],
        custom_mutator=_mutated,
    )
    atheris.Fuzz()


def _mutated(data: bytes, most: int, seed: int) -> bytes:
    """What is JSON with a value changed in it, mostly; all else as libFuzzer does it."""
    import atheris

    rng = random.Random(seed)
    if rng.random() < 0.7:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            pass
        else:
            changed = json.dumps(_changed(value, rng)).encode()
            if len(changed) <= most:
                return changed
    return atheris.Mutate(data, most)


def _changed(value: Any, rng: random.Random) -> Any:
    """A value with something hostile in one place."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.9:
        value = value.copy()
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        if rng.random() < 0.1:
            del value[key]
        else:
            value[key] = _changed(value[key], rng)
        return value
    return rng.choice(HOSTILE)


if __name__ == "__main__":
    main()
