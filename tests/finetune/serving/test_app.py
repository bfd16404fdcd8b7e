"""What a real server answers."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from click.testing import CliRunner
from fixtures.servers import BOUNDARY, EVIL, serving
from PIL import Image

from nni_nasoa import __version__
from nni_nasoa.cli import main

pytestmark = pytest.mark.slow
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def by_command(folder, *words):
    done = CliRunner().invoke(main, ["predict", str(folder), *map(str, words), "--json", "--device", "cpu"])
    return json.loads(done.stdout)


def assert_same(answer, expected):
    """Equal but for the last digits of probabilities, as batches of other sizes give them."""
    assert len(answer) == len(expected)
    for one, other in zip(answer, expected):
        assert one.keys() == other.keys()
        assert [p["label"] for p in one["predictions"]] == [p["label"] for p in other["predictions"]]
        shares = [p["probability"] for p in other["predictions"]]
        assert [p["probability"] for p in one["predictions"]] == pytest.approx(shares, abs=1e-5)


def test_files_of_a_form_are_answered_as_by_the_command(served, classifier_folder, picture, tmp_path):
    names = [f"{number}.png" for number in range(3)]
    images = {name: picture(number) for number, name in enumerate(names)}
    expected = by_command(classifier_folder, *(tmp_path / name for name in names))
    status, answer = served.predict(images)
    assert status == 200 and [one["image"] for one in answer] == names
    assert_same(answer, expected)
    everything = by_command(classifier_folder, tmp_path / "0.png", "-k", 9)
    assert_same(served.predict({"0.png": images["0.png"]}, "?top_k=9")[1], everything)
    best = expected[0]["predictions"][0]["probability"]
    assert (
        served.predict({"0.png": images["0.png"]}, f"?reject_below={best + 0.01}")[1][0]["rejected"] is True
    )


@pytest.mark.parametrize("kind", ["image/png", "application/x-www-form-urlencoded", "nonsense"])
def test_a_body_is_an_image_whatever_it_calls_itself(served, classifier_folder, picture, tmp_path, kind):
    content = picture(1)
    status, answer, _ = served.ask("predict", content, content_type=kind)
    assert status == 200 and answer[0]["image"] == "request body"
    assert_same(answer, by_command(classifier_folder, tmp_path / "1.png"))


def test_two_hundred_ask_side_by_side(classifier_folder, picture, tmp_path):
    images = [picture(number) for number in range(20)]
    expected = by_command(classifier_folder, *(tmp_path / f"{number}.png" for number in range(20)))
    with serving(classifier_folder) as server, ThreadPoolExecutor(200) as pool:
        process = psutil.Process(server.process.pid)
        server.predict({"first.png": images[0]})
        before = process.memory_info().rss
        answers = list(pool.map(lambda n: server.predict({"an.png": images[n % 20]}), range(200)))
        assert process.memory_info().rss - before < 200e6
    assert {status for status, _ in answers} == {200}
    for number, (_, answer) in enumerate(answers):
        assert_same(answer, [expected[number % 20]])


def test_what_cannot_be_read_is_told_in_a_line_and_the_others_are_answered(served, picture):
    good, cut = picture(0), picture(1)[:200]
    status, answer = served.predict({"good.png": good, "cut.png": cut, "none.png": b""})
    assert status == 422 and [one["image"] for one in answer] == ["good.png", "cut.png", "none.png"]
    assert len(answer[0]["predictions"]) == 3
    assert answer[1]["error"].startswith("cut.png: cannot be read as an image (")
    assert answer[2]["error"] == "none.png: cannot be read as an image (the file is empty)"
    status, answer, _ = served.ask("predict", b"no image at all", content_type="image/jpeg")
    said = "request body: cannot be read as an image (the content is not that of an image)"
    assert status == 422 and answer == [{"image": "request body", "error": said}]
    eps = io.BytesIO()
    Image.new("RGB", (8, 8)).save(eps, "EPS")
    assert served.predict({"a.eps": eps.getvalue()})[1][0]["error"].endswith("(EPS is not taken)")
    assert served.predict({"good.png": good})[0] == 200


@pytest.mark.parametrize("large", [600_000, 3_000_000])
def test_what_is_too_large_is_413(served, large):
    status, answer, _ = served.ask("predict", bytes(large))
    assert status == 413 and answer == {"error": "the request is too large: 0.5 MiB are allowed"}
    assert served.ask("health")[0] == 200


def test_a_size_that_is_not_declared_is_limited_too(served):
    status, answer, _ = served.ask("predict", (bytes(100_000) for _ in range(8)))
    assert status == 413 and "too large" in answer["error"]


def test_pixels_and_images_are_limited(served, picture):
    blank = io.BytesIO()
    Image.new("RGB", (600, 500)).save(blank, "PNG")
    status, answer = served.predict({"wide.png": blank.getvalue(), "good.png": picture(0)})
    assert status == 413 and "600 × 500 pixels, where 250,000 are allowed" in answer[0]["error"]
    assert "predictions" in answer[1]
    status, answer = served.predict({f"{number}.png": picture(0) for number in range(4)})
    assert status == 413 and answer == {"error": "too many images: 3 are allowed in a request"}


@pytest.mark.parametrize(
    "path, data, kind, status, words",
    [
        ("predict", b"", "image/png", 400, "no image: send one"),
        ("predict", f"--{BOUNDARY}--\r\n".encode(), FORM, 400, "the form has no file in it"),
        ("predict", b"--other\r\n\r\nx", FORM, 400, "the form cannot be read"),
        ("predict", b"x", "multipart/form-data", 400, "the form cannot be read"),
        ("predict?top_k=0", b"x", "image/png", 422, "top_k: "),
        ("predict?reject_below=x", b"x", "image/png", 422, "reject_below: "),
        ("predict", None, "image/png", 405, "GET: send POST"),
        ("docs", None, "text/html", 404, "there are /, /health and /predict"),
        ("openapi.json", None, "text/html", 404, "there are /, /health and /predict"),
    ],
)
def test_what_is_wrong_is_a_line_of_json(served, path, data, kind, status, words):
    got, answer, _ = served.ask(path, data, content_type=kind)
    assert got == status and words in answer["error"] and "\n" not in answer["error"]


def test_health_says_what_is_served(served):
    status, answer, _ = served.ask("health")
    assert status == 200 and answer["status"] == "ok" and answer["version"] == __version__
    assert answer["model"] == "et-nas-x" and answer["classes"] == 4 and len(answer["id"]) == 32


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8000"},
        {"host": "192.168.0.1"},
        {"host": "localhost.evil.example"},
        {"host": "[::1"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"},
    ],
)
@pytest.mark.parametrize("path", ["", "health", "predict"])
def test_pages_of_others_are_refused(served, picture, path, headers):
    data = picture(0) if path == "predict" else None
    status, answer, sent = served.ask(path, data, **headers)
    assert status == 403 and list(answer) == ["error"] and "\n" not in answer["error"]
    assert not [name for name in sent if name.lower().startswith("access-control-")]


def test_own_pages_and_links_to_them_are_answered(served, picture):
    port = served.url.rsplit(":", 1)[1].strip("/")
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", "localhost:9", "[::1]:9", "LOCALHOST"):
        status, _, _ = served.ask("predict", picture(0), host=host, origin=f"http://{host}")
        assert status == 200, host
    status, text, sent = served.ask("", sec_fetch_site="cross-site", sec_fetch_mode="navigate")
    assert status == 200 and EVIL not in text and "&lt;img src=x" in text
    assert "default-src 'none'" in sent["content-security-policy"]
    assert "unsafe" not in sent["content-security-policy"]
    assert sent["x-content-type-options"] == "nosniff"
