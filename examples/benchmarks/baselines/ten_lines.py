"""What one writes in ten lines: features of an ImageNet network, and a logistic regression on them.

    python ten_lines.py TRAIN TEST lite0 [IMAGES]

prints a JSON line: the seconds from the start of the process to the fitted head, and the accuracy on TEST.
With IMAGES it takes so many of TRAIN, at random.
"""

import time

STARTED = time.monotonic()

import json  # noqa: E402 - the clock runs from before the imports, as it does for a user
import random  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import timm  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from nni_nasoa.zoo import create_model, get  # noqa: E402

Image.MAX_IMAGE_PIXELS = None
train, test, model = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
network, info = create_model(model, weights="default").eval(), get(model)
network.reset_classifier(0)
transform = timm.data.create_transform(info.input_size, mean=info.mean, std=info.std)


def features(files):
    with torch.inference_mode():
        batches = (files[start : start + 32] for start in range(0, len(files), 32))
        seen = [network(torch.stack([transform(Image.open(f).convert("RGB")) for f in b])) for b in batches]
    return torch.cat(seen).numpy()


files = sorted(train.glob("*/*"))
if len(sys.argv) > 4:
    files = random.Random(0).sample(files, min(len(files), int(sys.argv[4])))
head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, C=0.1))
head.fit(features(files), [file.parent.name for file in files])
seconds = time.monotonic() - STARTED
tests = sorted(test.glob("*/*"))
accuracy = head.score(features(tests), [file.parent.name for file in tests])
print(json.dumps({"seconds": seconds, "accuracy": accuracy, "images": len(files)}))
