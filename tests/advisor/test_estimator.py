"""The estimator by scikit-learn's conventions."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import nni_nasoa
from nni_nasoa.advisor import ExperienceStore, ImageClassifier
from nni_nasoa.finetune import Callback, load_classifier
from nni_nasoa.finetune.errors import ClassifierError

QUICK = {"minutes": 0.3, "model": "nano-a"}


def pictures(count, seed=0):
    """Images of three colours, (count, 24, 32, 3) uint8, and their numbers."""
    rng, labels = np.random.default_rng(seed), np.arange(count) % 3
    images = rng.integers(0, 100, (count, 24, 32, 3))
    images[np.arange(count), :, :, labels] += 150
    return images.astype(np.uint8), labels


@pytest.fixture(scope="module")
def fitted():
    images, labels = pictures(60)
    return ImageClassifier(**QUICK, callbacks=[Told()]).fit(images, labels * 10 - 5)


class Told(Callback):
    """Keeps what it is told."""

    def __init__(self):
        self.accuracies, self.result = [], None

    def on_evaluation(self, evaluation):
        self.accuracies.append(evaluation["val_accuracy"])

    def on_end(self, result):
        self.result = result


def test_its_callbacks_are_told_of_the_run(fitted):
    (told,) = fitted.callbacks
    assert told.result.accuracy == fitted.validation_score_ == max(told.accuracies)
    assert told.result.classifier is fitted.classifier_


def test_it_is_an_estimator(fitted):
    assert nni_nasoa.ImageClassifier is ImageClassifier and fitted.get_params()["model"] == "nano-a"
    other = clone(fitted).set_params(minutes=3)
    assert other.minutes == 3 and other.model == "nano-a"
    with pytest.raises(NotFittedError):
        other.predict(["a.png"])


def test_labels_come_back_as_they_were_given(fitted):
    images, labels = pictures(30, seed=1)
    assert fitted.classes_.tolist() == [-5, 5, 15] and fitted.validation_score_ > 0.9
    found = fitted.predict(images)
    assert found.dtype == fitted.classes_.dtype and (found == labels * 10 - 5).all()
    assert fitted.score(images, labels * 10 - 5) == 1.0 and fitted.score(images, labels * 10) == 0.0
    shares = fitted.predict_proba(images)
    assert shares.shape == (30, 3) and shares.sum(1) == pytest.approx(1, abs=1e-5)
    assert fitted.predict_proba([]).shape == (0, 3)


def test_what_is_saved_is_loaded_here_and_by_others(fitted, tmp_path):
    images, _ = pictures(9, seed=2)
    folder = fitted.save(tmp_path / "classifier")
    again = ImageClassifier.load(folder)
    assert (again.predict(images) == fitted.predict(images)).all()
    assert again.classes_.tolist() == fitted.classes_.tolist()
    assert again.validation_score_ == fitted.validation_score_
    assert load_classifier(folder).predict(images[0])[0][0].label == str(fitted.predict(images[:1])[0])
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    with pytest.raises(ClassifierError, match="thesis"):
        fitted.save(tmp_path / "thesis")


def test_images_come_in_any_form_and_labels_may_be_words_that_no_folder_is_called(tmp_path):
    images, labels = pictures(45)
    names = np.array(["a/b", "test", ".."])[labels]
    given = []
    for number, image in enumerate(images):
        path = tmp_path / f"{number}.bmp"
        Image.fromarray(image).save(path)
        file = io.BytesIO()
        Image.fromarray(image).save(file, "png")
        given.append((str(path), file.getvalue(), Image.fromarray(image), image)[number % 4])
    fitted = ImageClassifier(**QUICK).fit(given, names.tolist())
    assert fitted.classes_.tolist() == ["..", "a/b", "test"]
    assert fitted.predict(given).tolist() == names.tolist()
    again = ImageClassifier.load(fitted.save(tmp_path / "classifier"))
    assert again.predict(given[:1]).tolist() == names[:1].tolist()


def test_a_folder_has_its_labels(tmp_path):
    images, labels = pictures(45)
    for number, (image, label) in enumerate(zip(images, labels)):
        place = tmp_path / "colours" / "rgb"[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:02d}.png")
    fitted = ImageClassifier(**QUICK).fit(tmp_path / "colours")
    assert fitted.classes_.tolist() == ["b", "g", "r"] and fitted.score(tmp_path / "colours") == 1.0
    assert fitted.predict(tmp_path / "colours").tolist() == sorted("rgb"[label] for label in labels)


def test_tables_have_their_labels(tmp_path):
    images, labels = pictures(45)
    paths = [tmp_path / f"{number:02d}.png" for number in range(45)]
    for path, image in zip(paths, images):
        Image.fromarray(image).save(path)
    table = pd.DataFrame({"image": [str(path) for path in paths], "label": labels * 10 - 5})
    table.to_csv(tmp_path / "labels.csv", index=False)
    fitted = ImageClassifier(**QUICK).fit(tmp_path / "labels.csv")
    assert fitted.classes_.tolist() == ["-5", "15", "5"] and fitted.score(tmp_path / "labels.csv") > 0.9
    table["image"] = [*images]
    fitted = ImageClassifier(**QUICK).fit(table)
    assert fitted.classes_.tolist() == [-5, 5, 15] and fitted.score(table) > 0.9
    assert (fitted.predict(paths) == labels * 10 - 5).mean() > 0.9


@pytest.mark.parametrize(
    "images, labels, words",
    [
        (pictures(4)[0], None, "the labels of the images are missing"),
        (pictures(4)[0], [0, 1], r"labels of shape \(2,\), where there are 4 images"),
        (pictures(4)[0], [1, 1, 1, 1], "1 class; two are needed"),
        (pictures(4)[0].astype(float), [0, 1, 0, 1], "image 1: an array of float64"),
        ("no such folder", None, "no such folder"),
    ],
)
def test_what_does_not_go_together_is_one_line(images, labels, words):
    with pytest.raises(ValueError, match=words) as error:
        ImageClassifier(**QUICK).fit(images, labels)
    assert "\n" not in str(error.value)


def test_an_image_that_cannot_be_read_is_named(fitted, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(ClassifierError, match=r"broken\.png: cannot be read"):
        fitted.predict([tmp_path / "broken.png"])


@pytest.mark.slow
def test_without_a_model_it_is_advised_within_the_minutes_and_recorded(tmp_path):
    images, labels = pictures(60)
    with ExperienceStore(tmp_path / "store.db") as store:
        fitted = ImageClassifier(minutes=0.4, zoo="nano", store=store).fit(images, labels)
        (record,) = store.records()
    assert fitted.advice_.best.regime.model == fitted.classifier_.regime.model == record.model
    assert record.source == "advise" and record.predicted["accuracy"] == pytest.approx(
        fitted.advice_.best.predicted["accuracy"]
    )
    assert fitted.predict(images[:3]).tolist() == [0, 1, 2]


def test_asking_for_it_is_all_that_loads_it():
    code = "import sys, nni_nasoa; print('sklearn' in sys.modules); nni_nasoa.ImageClassifier"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_uneven_classes_are_weighed_alike_where_that_is_asked_for():
    images, labels = pictures(90)
    kept = np.concatenate(
        [np.flatnonzero(labels == 0), np.flatnonzero(labels == 1), np.flatnonzero(labels == 2)[:3]]
    )
    fitted = ImageClassifier(**QUICK, class_weight="balanced").fit(images[kept], labels[kept])
    assert fitted.classifier_.regime.is_balanced and fitted.classifier_.metrics["val_balanced_accuracy"] > 0
    with pytest.raises(ValueError, match="class_weight: 'even' is not"):
        ImageClassifier(class_weight="even").fit(images, labels)
