"""Which folders are parts of a dataset by their names, and which are images beside what was drawn of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

TRAIN, VALIDATION, TEST = "train", "val", "test"
_WORDS = {
    "train": TRAIN,
    "training": TRAIN,
    "trainval": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "eval": VALIDATION,
    "evaluation": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
    "testing": TEST,
}
_SETS = ("set", "sets", "data", "dataset", "images", "imgs")
_GLUED = {word + ending: kind for word, kind in _WORDS.items() for ending in _SETS} | _WORDS  # "testset"
# What stands beside such a word and says nothing of what is in the images.
_AFFIXES = frozenset(
    "set sets data dataset images imgs image img photos pictures pics files folder dir split part samples "
    "final full new old original raw resized cropped jpg jpeg png".split()
)
_IMAGES = frozenset(("images", "image", "imgs", "img", "jpegimages", "photos", "pictures"))
_DRAWN = frozenset(
    "mask masks label labels annotation annotations annots gt groundtruth segmentation segmentations "
    "segmentationclass segmentationobject bboxes contours".split()
)


def kinds_of_parts(names: Iterable[str]) -> dict[str, str]:
    """The folders of some that lie side by side which are parts by their names, and of which kind they are.

    A name is that of a part by a word such as "train" or "valid", beside which stand a number and words such
    as "set" or "images" alone, or words that stand beside the word of another kind, too: `seg_train` is a
    part beside `seg_test`, but `train_station` is none beside `bus_station`. The plainest names come first.

    Returns
    -------
    "train", "val" or "test" by name.
    """
    split = {name: _words(name) for name in names}
    known = {name: kind for name, words in split.items() if (kind := _kind(words)) is not None}
    kinds = defaultdict(set)
    for name, kind in known.items():
        kinds[_beside(split[name])].add(kind)
    parts = [
        name
        for name in known
        if all(word in _AFFIXES or word.isdigit() for word in _beside(split[name]))
        or len(kinds[_beside(split[name])]) > 1
    ]
    if any("invalid" in words for words in split.values()):  # then "valid" is what they are
        parts = [name for name in parts if "valid" not in split[name]]
    return {name: known[name] for name in sorted(parts, key=lambda name: (len(split[name]), name))}


def kind_of_part(name: str) -> str | None:
    """The kind of part that a name tells of by itself, "train", "val" or "test"; None where it is none."""
    return _kind(_words(name))


def drawn_beside_images(names: Iterable[str]) -> tuple[str, str] | None:
    """Two of some folders that hold images, and what was drawn of these: `images` and `masks`, say."""
    split = {name: set(_words(name)) for name in sorted(names)}
    images = [name for name, words in split.items() if words & _IMAGES and not words & _DRAWN]
    drawn = [name for name, words in split.items() if words & _DRAWN]
    return (images[0], drawn[0]) if images and drawn else None


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # "TrainingSet"
    return re.findall(r"[^\W\d_]+|\d+", spaced.lower())


def _kind(words: Iterable[str]) -> str | None:
    """The kind that the words tell; None where they tell none, or that of two."""
    kinds = {_GLUED[word] for word in words if word in _GLUED}
    if kinds == {TRAIN, VALIDATION}:  # "train_val" is for both, of which a share is held back
        return TRAIN
    return kinds.pop() if len(kinds) == 1 else None


def _beside(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for word in words if word not in _GLUED)
