"""The session of a GPU, small and on the processor: each part gives results, and none is computed twice."""

import json
import time

import pytest


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_all_parts_give_results_once(script, flags, tmp_path, capsys):
    output = tmp_path / "session.jsonl"
    options = ("--small", "--device", "cpu", "--folders", flags, "--output", output)
    session = script("gpu_session", *options)
    session.main()
    lines = lines_of(output)
    assert [part.name for part in session.PARTS] == list(dict.fromkeys(line["part"] for line in lines))
    found = {(line["part"], line["key"]): line["result"] for line in lines}
    assert not [key for key, result in found.items() if "error" in result]
    for kind in ("step times", "compiled step times"):
        for precision in ("fp32", "bf16"):
            times = found[kind, f"et-nas-a {precision}"]
            assert times["train"] > 0 and times["infer"] > 0
    assert found["tests", "training/test_speed.py"]["said"]
    for who in ("finetune", "plain loop"):
        run = found["real folders", f"flags nano-a 2 {who}"]
        assert run["accuracy"] > 0.5 and run["seconds"] > 0
    assert run["steps"] > 0  # of the plain loop; the other may fit a head alone
    assert found["torchrun", "digits"]["status"] == 0 and found["torchrun", "digits"]["accuracy"] > 0.2
    assert found["out of memory", "digits"]["outcome"]["reason"]
    assert all({"device", "torch", "date"} <= set(line["environment"]) for line in lines)
    script("gpu_session", *options).main()
    assert lines_of(output) == lines


def test_a_part_that_is_too_slow_is_ended_and_tried_again(script, tmp_path):
    session = script("gpu_session", "--help")
    slow, begin = session.Part("step times", 0.5, None), time.monotonic()
    setting = session.Setting("cpu", tmp_path, small=True)
    (line,) = session.in_a_process(slow, setting, set(), 0.5)
    assert time.monotonic() - begin < 20 and line["result"]["error"].startswith("ended after its")
    path = tmp_path / "session.jsonl"
    path.write_text(json.dumps({"part": "step times"} | line) + "\n" + '{"part": "torn')
    assert session.known(path, "step times") == set()
    path.write_text(json.dumps({"part": "tests", "key": "a", "result": {"status": 0}}) + "\n")
    assert session.known(path, "tests") == {"a"} and session.known(path, "torchrun") == set()


def test_without_time_nothing_is_begun(script, flags, tmp_path, capsys):
    output = tmp_path / "session.jsonl"
    options = ("--small", "--device", "cpu", "--minutes", 0.01, "--folders", flags, "--output", output)
    script("gpu_session", *options).main()
    assert not output.exists() and capsys.readouterr().out.count("no time left for") == 6
