import base64
import json
import re

import pytest
from documents import ROOT
from PIL import Image

from nni_nasoa.figures import STEP_TIMES
from nni_nasoa.figures.claims import claims
from nni_nasoa.figures.gallery import draw_all
from nni_nasoa.figures.overview import Inventory
from nni_nasoa.figures.runs import append_run

HAD = Inventory(0, 64, 9, 2432, 0, 0, "nowhere.db")
OFFLINE = {
    "overview",
    "search-space",
    "training-efficiency",
    "inference-efficiency",
    "nas-comparison",
    "budgets",
    "model-trade-off",
    "block-search",
    "block-02031-a02",
    "block-23311-a02c12",
}


def sections(page):
    return dict(re.findall(r'<section id="(.*?)">(.*?)</section>', page, re.DOTALL))


def test_all_is_made_but_what_needs_runs(tmp_path, recorded):
    folder = tmp_path / "my figures"
    (folder / "report").mkdir(parents=True)
    for frozen in range(5):
        append_run(folder / "freezing.jsonl", recorded([(1.0, 0.2), (9.0, 0.8)], frozen=frozen))
    (folder / "report" / "front.png").write_bytes((ROOT / "examples/search_digits/front.png").read_bytes())
    page, *files = draw_all(folder, HAD)
    text = page.read_text()
    found = sections(text)
    assert page == folder / "index.html"
    assert {file.name for file in files} == {
        *(f"{name}{suffix}" for name in {*OFFLINE, "freezing"} for suffix in (".png", ".svg")),
        "claims.md",
        "claims.html",
    }
    for name in {*OFFLINE, "freezing"}:
        picture = (folder / f"{name}.png").read_bytes()
        assert base64.b64encode(picture).decode() in found[name]
        assert Image.open(folder / f"{name}.png").width > 300
        assert (folder / f"{name}.svg").stat().st_size > 1000
    # Nothing is fetched, and it is fit for phones and for the dark.
    assert not re.search(r"<(script|link|iframe)|src=\"(?!data:)|url\(", text)
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text
    # Those that need runs have a command that makes them where the page looks for them.
    assert f"nasoa figures along-time -o &#39;{folder}/along-time.png&#39;" in found["along-time"]
    assert "<img" not in found["along-time"]
    # What was run in the folder is drawn.
    for name in ("freezing", "search-front"):
        assert "<img" in found[name] and "<pre>" not in found[name]
    assert "--measure" in found["training-efficiency"] and "--measure" not in found["nas-comparison"]
    for row in claims():
        assert row.claim.replace("'", "&#39;") in found["claims"]
    numbers = [int(number) for number in re.findall(r"<h2>.*?<small>figure (\d+)", text)]
    assert numbers == sorted(numbers) and set(numbers) == set(range(1, 10))


@pytest.mark.parametrize("name", [STEP_TIMES, "freezing.jsonl"])
def test_a_file_that_cannot_be_read_is_named_before_anything_is_written(tmp_path, name):
    (tmp_path / name).write_text(json.dumps(["no runs"]))
    with pytest.raises(ValueError, match=re.escape(name)) as caught:
        draw_all(tmp_path, HAD)
    assert "\n" not in str(caught.value) and [file.name for file in tmp_path.iterdir()] == [name]
