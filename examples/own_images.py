"""From a folder of images to a classifier that tells new ones: the shortest way, in Python.

    python examples/own_images.py --train /data/flowers/train --test /data/flowers/test --minutes 2

A folder has a folder of images for each class. Without one, digits are written into a folder, and taken.
"""

import argparse
import sys
from pathlib import Path

from digit_files import write_digits

from nni_nasoa import ImageClassifier


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=Path, help="a folder with a folder of images for each class")
    parser.add_argument("--test", type=Path, help="another one, which is not trained on")
    parser.add_argument("--minutes", type=float, default=0.5, help="that all of it may take")
    parser.add_argument("--output", type=Path, default=Path("my-classifier"))
    arguments = parser.parse_args()
    train, test = arguments.train, arguments.test
    if train is None:
        digits = write_digits(Path("digit-files"))
        train, test = digits / "train", digits / "test"

    classifier = ImageClassifier(arguments.minutes).fit(train)
    print("advised:", classifier.advice_.best.regime)
    print(f"accuracy on images that were held back: {100 * classifier.validation_score_:.1f} %")
    if test is not None:
        print(f"accuracy on {test}: {100 * classifier.score(test):.1f} %")
        for path in sorted(test.glob("*/*"))[:3]:
            print(path, "->", classifier.predict([path])[0])
    print("saved in", classifier.save(arguments.output))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")
