"""Folders of real images, made from Debian's packages: benchmarks on photographs and drawings run on them.

    python examples/benchmarks/real_images.py DEST [NAME ...]

makes DEST/NAME/train/CLASS/* and DEST/NAME/test/CLASS/* (some 300 MB of downloads by `apt-get download`,
which needs no root). The test parts are for judging alone.

- fashion: 2000 + 1000 pictures of clothes, 28 pixels (Fashion-MNIST, arXiv 1708.07747)
- clipart, clipart-animals, clipart-food: drawings with transparency, large (Open Clip Art, public domain)
- flags: drawings of flags by continent (the same)
- photo-parts: which photograph is a piece cut from? (wallpapers of three desktops)
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from PIL import Image

TEST_SHARE, MOST, LEAST = (
    0.3,
    150,
    12,
)  # of each class of drawings: the test part, and images at most and least
CLIPART = Path("openclipart-png/usr/share/openclipart/png")
THEMES = (
    *("animals", "buildings", "computer", "food", "people", "plants", "recreation", "transportation"),
    *("tools", "signs_and_symbols", "office", "geography"),
)
DISHES = ("fruit", "dairy", "beverages", "vegetables", "breads_and_carbs", "desserts", "meats_and_eggs")
CONTINENTS = ("africa", "america", "asia", "europe", "oceania")
CLOTHES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
WALLPAPERS = ("mate-backgrounds", "ukui-wallpapers", "gnome-backgrounds")
LONGER, SHORTEST, PIECE = 1600, 500, (140, 400)  # pixels: of photographs, and of the pieces' sides
PIECES = {"train": (0.0, 0.66, 30), "test": (0.68, 1.0, 12)}  # from where to where, and how many


def unpacked(packages: Iterable[str], folder: Path) -> Path:
    """Download and unpack Debian packages, those that are not there, into a folder for each."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in packages:
        if not (folder / package).is_dir():
            subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
            (deb,) = folder.glob(f"{package}_*.deb")
            subprocess.run(["dpkg-deb", "-x", str(deb), str(folder / package)], check=True)
            deb.unlink()
    return folder


def split(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Files in their two parts, in an order that follows from their names: it is the same anywhere."""
    order = sorted(
        (file for file in files if file.stat().st_size),
        key=lambda file: hashlib.sha256(f"{file.parent.name}/{file.name}".encode()).digest(),
    )[:MOST]
    tests = max(1, round(TEST_SHARE * len(order)))
    return {"test": order[:tests], "train": order[tests:]}


def drawings(top: str, names: Iterable[str] | None) -> Callable[[Path, Path], None]:
    """A maker of a folder of clip art: of folders below `top` that have enough images, by default of all."""

    def make(packages: Path, target: Path) -> None:
        root = packages / CLIPART / top
        classes = [root / name for name in names or sorted(path.name for path in root.iterdir())]
        for folder in classes:
            files = list(folder.rglob("*.png")) if folder.is_dir() else []
            if len(files) < LEAST:
                continue
            for part, chosen in split(files).items():
                place = target / part / folder.name
                place.mkdir(parents=True)
                for file in chosen:
                    shutil.copy(file, place / f"{file.parent.name}-{file.name}")

    return make


def clothes(packages: Path, target: Path) -> None:
    """A sample of Fashion-MNIST, from its files of bytes."""
    (folder,) = {file.parent for file in packages.glob("dataset-fashion-mnist/**/*-images*")}
    for part, prefix, count in (("train", "train", 2000), ("test", "t10k", 1000)):
        pixels, labels = (
            np.frombuffer(_bytes(next(folder.glob(f"{prefix}-{kind}*"))), np.uint8)[start:]
            for kind, start in (("images", 16), ("labels", 8))
        )
        images = pixels.reshape(len(labels), 28, 28)
        for number in np.random.default_rng(0).choice(len(labels), count, replace=False):
            place = target / part / CLOTHES[labels[number]]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[number]).save(place / f"{number}.png")


def _bytes(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def pieces(packages: Path, target: Path) -> None:
    """Pieces of photographs; those to train on lie to the left of those to test on."""
    photographs = {
        file.stem: file for package in WALLPAPERS for file in sorted((packages / package).rglob("*.jpg"))
    }
    for name, file in sorted(photographs.items()):
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        image.thumbnail((LONGER, LONGER))
        if min(image.size) < SHORTEST:
            continue
        rng = np.random.default_rng(0)
        for part, (left, right, count) in PIECES.items():
            place = target / part / "".join(letter if letter.isalnum() else "_" for letter in name)
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                side = int(rng.uniform(PIECE[0], min(PIECE[1], (right - left) * image.width)))
                x = int(rng.uniform(left * image.width, right * image.width - side))
                y = int(rng.uniform(0, image.height - side))
                image.crop((x, y, x + side, y + side)).save(place / f"{number}.jpg", quality=92)


@dataclass(frozen=True)
class RealFolder:
    """A folder of real images.

    Parameters
    ----------
    packages
        Debian packages that it is made from.
    make
        Makes it, given where these are unpacked, and its own place.
    """

    packages: tuple[str, ...]
    make: Callable[[Path, Path], None]


_CLIPART = ("openclipart-png",)
FOLDERS = {
    "fashion": RealFolder(("dataset-fashion-mnist",), clothes),
    "clipart": RealFolder(_CLIPART, drawings("", THEMES)),
    "clipart-animals": RealFolder(_CLIPART, drawings("animals", None)),
    "clipart-food": RealFolder(_CLIPART, drawings("food", DISHES)),
    "flags": RealFolder(_CLIPART, drawings("signs_and_symbols/flags", CONTINENTS)),
    "photo-parts": RealFolder(WALLPAPERS, pieces),
}


def made(name: str, dest: Path) -> Path:
    """A folder of real images, made where it is not there; half a one is never seen."""
    target, partial = dest / name, dest / f".{name}.partial"
    if not target.is_dir():
        packages = unpacked(FOLDERS[name].packages, dest / ".packages")
        shutil.rmtree(partial, ignore_errors=True)
        FOLDERS[name].make(packages, partial)
        partial.rename(target)
    return target


@click.command(help=__doc__)
@click.argument("dest", type=click.Path(file_okay=False, path_type=Path))
@click.argument("names", nargs=-1, type=click.Choice(list(FOLDERS)))
def make_folders(dest: Path, names: tuple[str, ...]) -> None:
    for name in names or FOLDERS:
        folder = made(name, dest)
        counts = {part: len(list((folder / part).glob("*/*"))) for part in ("train", "test")}
        classes = len(list((folder / "train").iterdir()))
        click.echo(
            f"{name}: {classes} classes, {counts['train']} images to train on, {counts['test']} to test on"
        )


if __name__ == "__main__":
    make_folders()
