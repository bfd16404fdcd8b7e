"""The digits that come with the package as a folder of image files, for who has no images at hand."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from nni_nasoa.data.digits import WHITE, load_digits


def write_digits(folder: Path, number: int = 600) -> Path:
    """Write so many digits as PNGs, train/CLASS/NUMBER.png and a sixth of them test/CLASS/NUMBER.png."""
    images, labels = load_digits()
    for k, (image, label) in enumerate(zip(images[:number], labels)):
        place = folder / ("train" if k % 6 else "test") / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * (255 // WHITE)).astype("uint8")).resize((32, 32)).save(
            place / f"{k:04d}.png"
        )
    return folder
