"""How good a classifier is, where it is wrong, and how others ask it over HTTP.

    python examples/evaluate_and_serve.py --classifier my-classifier --test /data/flowers/test

The classifier is one that `nasoa finetune` or another example has saved; without one, a network is fine-tuned
on digits first. The report is a page for the browser. Serving needs `pip install 'nni-nasoa[serve]'`.
"""

import argparse
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from digit_files import write_digits

from nni_nasoa.evaluation import evaluate, write_page
from nni_nasoa.finetune import FineTuneRegime, finetune, load_classifier


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classifier", type=Path, help="a folder")
    parser.add_argument("--test", type=Path, help="a folder with a folder of images for each class")
    parser.add_argument("--minutes", type=float, default=0.3, help="to fine-tune in, without a classifier")
    parser.add_argument("--report", type=Path, default=Path("report.html"))
    arguments = parser.parse_args()
    folder, test = arguments.classifier, arguments.test
    if folder is None or test is None:
        digits, folder = write_digits(Path("digit-files")), Path("digit-classifier")
        test = digits / "test"
        finetune(digits / "train", FineTuneRegime("nano-a"), arguments.minutes, output=folder)

    classifier = load_classifier(folder)
    evaluation = evaluate(classifier, test)
    print(f"accuracy {100 * evaluation.accuracy:.1f} %; most confused: {evaluation.confusions[:2]}")
    print("written to", write_page(arguments.report, evaluation, classifier.about))

    command = [sys.executable, "-m", "nni_nasoa.cli", "serve", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().split(" at ")[-1].strip().rstrip("/")
            image = min(test.glob("*/*"))
            sent = urllib.request.Request(f"{url}/predict", image.read_bytes(), {"Content-Type": "image/png"})
            with urllib.request.urlopen(sent, timeout=60) as answer:
                print(image, "->", json.load(answer))
        finally:
            server.terminate()


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")
