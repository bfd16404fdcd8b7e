"""AutoGluon's fine-tuning of EfficientNet-Lite0 on a folder of images, in a time limit.

It wants an environment of its own (`pip install autogluon.multimodal`), and the network's ImageNet weights in
a cache of Hugging Face's hub, which `hub_cache.py` fills without a network.

    python hub_cache.py CACHE
    HF_HOME=CACHE HF_HUB_OFFLINE=1 python autogluon_folder.py FOLDER SECONDS

prints a JSON line: the accuracy on FOLDER/test, and the seconds until the classifier was saved, those of the
imports among them.
"""

import time

BEGIN = time.monotonic()

import json  # noqa: E402 - the imports count
import sys  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402

import pandas as pd  # noqa: E402
from autogluon.multimodal import MultiModalPredictor  # noqa: E402
from PIL import Image  # noqa: E402

SETTINGS = {"model.names": ["timm_image"], "model.timm_image.checkpoint_name": "tf_efficientnet_lite0"}


def table(folder: Path) -> pd.DataFrame:
    """The images of a part that can be opened, with their labels."""
    rows = [(str(file), file.parent.name) for file in sorted(folder.glob("*/*")) if _opens(file)]
    return pd.DataFrame(rows, columns=["image", "label"])


def _opens(file: Path) -> bool:
    try:
        with Image.open(file):
            return True
    except (OSError, Image.DecompressionBombError):
        return False


def main(folder: Path, seconds: float) -> None:
    """Fine-tune on folder/train, tell how good that is on folder/test."""
    train, test = (table(folder / part) for part in ("train", "test"))
    with tempfile.TemporaryDirectory() as place:
        predictor = MultiModalPredictor(label="label", problem_type="multiclass", path=f"{place}/classifier")
        left = seconds - (time.monotonic() - BEGIN)
        predictor.fit(train, hyperparameters=SETTINGS, time_limit=max(1, round(left)))
        taken = time.monotonic() - BEGIN
        right = (predictor.predict(test.drop(columns="label")).to_numpy() == test["label"].to_numpy()).mean()
    print(json.dumps({"accuracy": float(right), "seconds": round(taken, 2)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
