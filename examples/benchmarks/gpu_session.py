"""All that waits for a GPU, in one session of some 25 minutes, the most valuable first.

    python examples/benchmarks/real_images.py DEST
    python examples/benchmarks/gpu_session.py --folders DEST --output gpu_session.jsonl

Each result is a line of the output file as soon as it is there, and is not computed again: a session that was
ended goes on with the same command. Each part (`gpu_parts.py`) is a process of its own with a limit of time,
so that one that hangs or crashes costs the others nothing; results with an error are tried again. Torch,
torchvision, timm and this package are all that it needs; the part `tests` needs `pip install '.[test]'`, too.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Timer
from typing import Any

from gpu_parts import PARTS, Part, Setting
from outputs import output_file

from nni_nasoa.files import append_line, read_lines
from nni_nasoa.training.speed import environment


def known(path: Path, part: str) -> set[str]:
    """Keys of the results of a part that are there without an error."""
    if not path.exists():
        return set()
    lines = [line for _, line in read_lines(path, lambda *_: None)]  # one may be torn
    return {line["key"] for line in lines if line["part"] == part and "error" not in line["result"]}


def in_a_process(part: Part, setting: Setting, done: set[str], seconds: float) -> Iterator[Mapping[str, Any]]:
    """The lines that a part prints in a process of its own, which ends when its time is up."""
    command = [sys.executable, str(Path(__file__).resolve()), "--part", part.name, "--device", setting.device]
    command += ["--folders", str(setting.folders), *(["--small"] if setting.small else [])]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    process.stdin.write(json.dumps(sorted(done)))
    process.stdin.close()
    timer = Timer(seconds, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    try:
        for line in process.stdout:
            if line.startswith('{"key"'):  # other lines are said by what it calls
                yield json.loads(line)
        if process.wait():
            over = not timer.is_alive()
            error = f"ended after its {seconds:.0f} s" if over else f"ended with status {process.returncode}"
            yield {"key": part.name, "result": {"error": error}}
    finally:
        timer.cancel()
        if process.poll() is None:  # this process is interrupted
            os.killpg(process.pid, signal.SIGKILL)


def run_part(name: str, setting: Setting) -> None:
    """What a process of a part does: print each result as a line."""
    (part,) = (part for part in PARTS if part.name == name)
    for key, result in part.run(setting, json.load(sys.stdin)):
        print(json.dumps({"key": key, "result": result}), flush=True)


def session(setting: Setting, path: Path, minutes: float) -> None:
    """Run all parts in turn, as far as the minutes go."""
    end, made = time.monotonic() + 60 * minutes, environment(setting.device)
    for part in PARTS:
        left = end - time.monotonic()
        if left < 5:
            print(f"no time left for {part.name}: the same command goes on there")
            continue
        begin = time.monotonic()
        for line in in_a_process(part, setting, known(path, part.name), min(part.seconds, left)):
            append_line(path, {"part": part.name, **line, "environment": made})
            print(f"{part.name}, {line['key']}: {json.dumps(line['result'])[:160]}", flush=True)
        print(f"{part.name}: {time.monotonic() - begin:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folders", type=Path, default=Path("real-images"), help="what real_images.py made")
    parser.add_argument("--output", type=output_file, metavar="FILE", default=Path("gpu_session.jsonl"))
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="as small as can be, to see whether all works")
    parser.add_argument("--part", choices=[part.name for part in PARTS], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    setting = Setting(arguments.device, arguments.folders, arguments.small)
    if arguments.part:
        run_part(arguments.part, setting)
    else:
        session(setting, arguments.output, arguments.minutes)


if __name__ == "__main__":
    main()
