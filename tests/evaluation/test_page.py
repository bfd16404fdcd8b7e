"""The page of an evaluation: all in one file, without scripts, whatever things are called."""

from __future__ import annotations

import base64
import html
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from nni_nasoa.evaluation.evaluation import Evaluation
from nni_nasoa.evaluation.page import MATRIX, PICTURES, page, write_page
from nni_nasoa.finetune import FineTuneRegime, Outcome, StopReason
from nni_nasoa.finetune.classifier import describe

EVIL = "<script>document.title='evil'</script>"
SECTIONS = ["how", "promise", "curve", "reliability", "classes", "confusion", "mistakes", "labels", "notes"]


def about(classes=("ant", "bee", "cat"), **more):
    return {
        **describe(
            classes=classes,
            dataset="pets",
            regime=FineTuneRegime("nano-a", 0.02, input_size=48),
            encoding=None,
            weights_of="network",
            mean=(0, 0, 0),
            std=(1, 1, 1),
            metrics={
                "val_accuracy": 0.81,
                "budget_seconds": 60.0,
                "elapsed_seconds": 58.5,
                "train_images": 9,
            },
            outcome=Outcome(StopReason.BUDGET),
        ),
        **more,
    }


def evaluation(number=60, classes=("ant", "bee", "cat"), notes=(), names=None, sure=1.5):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(classes), number)
    logits = rng.normal(size=(number, len(classes)))
    logits[np.arange(number), labels] += sure
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    names = names or [f"{classes[label]}/{image}.jpg" for image, label in enumerate(labels)]
    openers = [lambda grey=image: Image.new("RGB", (90, 60), (0, grey % 256, 99)) for image in range(number)]
    return Evaluation(
        "pets", "test", classes, tuple(names), labels, probabilities.astype(np.float32), (), notes, openers
    )


def curve(number=5):
    return [
        {"elapsed": 10.0 * step, "val_accuracy": 1 - 1 / step, "best": step != 3}
        for step in range(1, number + 1)
    ]


ADVICE = {"accuracy": 0.8, "accuracy_low": 0.6, "accuracy_high": 0.9}


class Tags(HTMLParser):
    """The tags of a page with their attributes, and whether each one is closed."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def sections(text):
    return [attributes["id"] for tag, attributes in Tags(text).tags if tag == "section"]


def words(text):
    return " ".join(html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", text, flags=re.DOTALL)).split())


def test_all_is_there_in_one_file_without_scripts():
    text = page(evaluation(notes=("a note",)), about(advice=ADVICE), curve())
    found = Tags(text)
    assert found.open == [] and sections(text) == SECTIONS
    names = {tag for tag, _ in found.tags}
    assert not names & {"script", "link", "iframe", "object", "base", "form"}
    for _, attributes in found.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:image/jpeg;").startswith("data:image/jpeg;")
        assert "href" not in attributes
    assert "url(" not in text and "@import" not in text and len(text) < 400_000
    (policy,) = [one for tag, one in found.tags if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy["content"].startswith("default-src 'none'")


def test_it_says_what_was_trained_and_what_came_of_it():
    one = evaluation()
    said = words(page(one, about(advice=ADVICE), curve()))
    assert f"{100 * one.accuracy:.1f} % of 60 test images told right" in said
    assert "nano-a, images of 48 pixels" in said and "learning rate 0.02, sgd, batch" in said
    assert "budget 60 s" in said and "its time was used" in said
    assert "80 % (60 to 90)" in said and "what the run found there 81.0 %" in said
    assert said.index(one.worst[0].name, said.index("F1 precision recall")) < said.index(
        one.worst[-1].name, said.index("F1 precision recall")
    )
    pair = one.confusions[0]
    assert f"{pair.label} → {pair.predicted} {pair.images} images" in said


def test_the_most_confident_mistakes_come_first_each_picture_once():
    one = evaluation(600, sure=0.5)
    found = Tags(page(one, about(), curve()))
    pictures = [attributes for tag, attributes in found.tags if tag == "img"]
    assert PICTURES < len(pictures) <= 2 * PICTURES
    first = one.mistakes[0]
    expected = f"{one.classes[one.labels[first]]}, taken for {one.classes[one.predicted[first]]}"
    assert pictures[0]["alt"] == expected
    image = Image.open(io.BytesIO(base64.b64decode(pictures[0]["src"].partition(",")[2])))
    assert max(image.size) <= 160
    assert abs(image.getpixel((80, 80))[1] - int(first) % 256) < 6  # it is that image
    names = re.findall(r'class="file"><bdi>([^<]*)<', page(one, about(), curve()))
    assert len(names) == len(set(names)) == len(pictures)


@pytest.mark.parametrize("where", ["classes", "names", "notes", "about"])
def test_names_are_no_markup_and_no_control_characters(where):
    evil = EVIL + "\x1b[2J\u2028'\"&"
    classes = (evil, "bee", "cat") if where == "classes" else ("ant", "bee", "cat")
    names = [f"{evil}{image}" for image in range(60)] if where == "names" else None
    described = about(classes)
    if where == "about":
        described |= {"model": evil, "dataset": evil, "created": evil, "notes": [evil]}
    text = page(evaluation(classes=classes, names=names, notes=(evil,)), described, curve())
    found = Tags(text)
    assert found.open == [] and "script" not in {tag for tag, _ in found.tags}
    assert "\x1b" not in text and "&lt;script&gt;" in text and "\\x1b[2J" in text


def test_what_is_missing_is_left_out():
    """A description by hand, no advice, no run to draw, images that are gone."""
    one = evaluation()
    gone = Evaluation(one.dataset, "all", one.classes, one.names, one.labels, one.probabilities)
    text = page(gone, {"model": "nano-a"}, [{"kind": "start"}, "no record", {"elapsed": "x"}])
    assert Tags(text).open == [] and "promise" not in sections(text) and "notes" not in sections(text)
    assert "There was no second evaluation" in text and "image is gone" in text
    damaged = about(advice={"accuracy": "high"}, metrics={"budget_seconds": "long"}, notes=[3])
    assert "promise" not in sections(page(one, damaged, curve()))


def test_all_right_leaves_nothing_to_show():
    said = words(page(evaluation(sure=50), about()))
    assert "100.0 % of 60 test images" in said and "None: all images were told right." in said
    assert "There are none." in said


def test_of_many_classes_those_that_are_confused_most_are_in_the_matrix():
    classes = tuple(f"class {number}" for number in range(100))
    text = page(evaluation(900, classes=classes), about(classes), curve())
    assert text.count('<th scope="row">') == MATRIX and f"of the {MATRIX} that are confused most" in text
    assert "better ones</summary>" in text and len(text) < 600_000


def test_a_page_that_is_there_is_replaced_and_a_folder_that_is_not_is_an_error(tmp_path):
    (tmp_path / "a.html").write_text("old")
    assert write_page(tmp_path / "a.html", evaluation(), about()) == tmp_path / "a.html"
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(OSError, match="No such file"):
        write_page(tmp_path / "no such folder" / "a.html", evaluation(), about())


# -- in a real browser --


@pytest.mark.slow
def test_a_browser_shows_it_on_a_desk_on_a_phone_and_in_the_dark(browser, tmp_path):
    long = "a class whose name is very long indeed " * 3
    classes = (EVIL, long, "x" * 80, *(f"class {number}" for number in range(30)))
    one = evaluation(600, classes=classes, notes=(EVIL,))
    path = write_page(tmp_path / "page.html", one, about(classes, advice=ADVICE), curve(30))
    grounds = {}
    for kind, width, scheme in (("desk", 1200, "light"), ("phone", 390, "light"), ("dark", 1200, "dark")):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": kind == "phone"},
        )
        browser.get(path.as_uri())
        ask = browser.execute_script
        assert browser.title.startswith(f"{100 * one.accuracy:.1f} %")
        # Nothing is wider than the window, but what scrolls within it.
        assert ask("return document.documentElement.scrollWidth") <= width, kind
        assert ask("return [...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert ask("return document.images.length") > PICTURES
        hidden = ask(
            "return [...document.querySelectorAll('section, svg, h1')]"
            ".filter(one => !one.getBoundingClientRect().height).length"
        )
        assert hidden == 0, kind
        size = ask(
            "return Math.min(...[...document.querySelectorAll('svg text')].map("
            "one => one.getBoundingClientRect().height))"
        )
        assert size >= 9, kind  # pixels: text that can be read
        grounds[kind] = ask("return getComputedStyle(document.body).backgroundColor")
        errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert errors == []
    assert grounds["desk"] == grounds["phone"] != grounds["dark"]
