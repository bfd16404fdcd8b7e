"""A plain fine-tuning loop, as tutorials have it: EfficientNet-Lite0, random crops, SGD, cosine, some epochs.

    python plain_loop.py TRAIN TEST EPOCHS [IMAGES]

prints a JSON line: the seconds from the start of the process to the trained network, of them those before the
first step and those of an epoch, and the accuracy on TEST. With IMAGES it takes so many of TRAIN, at random.
"""

import time

STARTED = time.monotonic()

import json  # noqa: E402 - the clock runs from before the imports, as it does for a user
import random  # noqa: E402
import sys  # noqa: E402
import warnings  # noqa: E402

import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.utils.data import DataLoader, Subset  # noqa: E402
from torchvision import transforms  # noqa: E402
from torchvision.datasets import ImageFolder  # noqa: E402

from nni_nasoa.zoo import create_model, get  # noqa: E402

MODEL, BATCH, RATE, DECAY, WORKERS = "lite0", 32, 0.02, 1e-4, 2

Image.MAX_IMAGE_PIXELS = None
warnings.simplefilter("ignore")
torch.manual_seed(0)
info = get(MODEL)
as_tensor = [transforms.ToTensor(), transforms.Normalize(info.mean, info.std)]
crops = [transforms.RandomResizedCrop(info.input_size, scale=(0.35, 1)), transforms.RandomHorizontalFlip()]
centre = [transforms.Resize(int(info.input_size / 0.875)), transforms.CenterCrop(info.input_size)]
train = ImageFolder(sys.argv[1], transforms.Compose(crops + as_tensor))
test = ImageFolder(sys.argv[2], transforms.Compose(centre + as_tensor))
network, epochs = create_model(MODEL, len(train.classes), weights="default"), int(sys.argv[3])
images = range(len(train))
if len(sys.argv) > 4:
    images = random.Random(0).sample(images, min(len(train), int(sys.argv[4])))
loading = {"batch_size": min(BATCH, len(images)), "num_workers": WORKERS}
batches = DataLoader(Subset(train, images), shuffle=True, drop_last=True, **loading)
optimizer = torch.optim.SGD(network.parameters(), RATE, momentum=0.9, weight_decay=DECAY, nesterov=True)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(batches))

before = time.monotonic() - STARTED
network.train()
for _ in range(epochs):
    for x, y in batches:
        loss = F.cross_entropy(network(x), y, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
seconds = time.monotonic() - STARTED

network.eval()
with torch.inference_mode():
    right = sum((network(x).argmax(1) == y).sum().item() for x, y in DataLoader(test, **loading))
found = {"seconds": seconds, "before": before, "epoch": (seconds - before) / epochs, "epochs": epochs}
print(json.dumps({**found, "accuracy": right / len(test), "images": len(images)}))
