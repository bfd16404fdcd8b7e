"""How many real image files of each kind are read, and whether they look as Pillow and libvips read them.

The files are those that Pillow's own tests are made of, from its source distribution: hundreds of all formats
that it knows, odd and broken ones among them. Each is read as an image of a dataset is, and beside that by
Pillow's `convert("RGB")` and by libvips. Where both can, the mean difference of the pixels, in levels of 255,
tells whether it is the same image.

    pip install pyvips pyvips-binary
    python examples/benchmarks/image_files.py [--archive pillow.tar.gz]

What differs from both is listed: these are transparent, deep and animated images, in which the plain readings
show nothing, or other than what a viewer shows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image, ImageOps
from rich.console import Console
from rich.table import Table

from nni_nasoa.data.decode import to_array
from nni_nasoa.data.opening import open_image
from nni_nasoa.data.walk import suffix_of
from nni_nasoa.training.speed import environment

DATA = Path(__file__).with_name("data") / "image_files.json"
RELEASE = "11.3.0"  # of Pillow, whose files these are
SIZE, ALIKE = 64, 10.0  # pixels at which files are compared, and levels by which they may differ
LARGEST = 200_000_000  # pixels
FOLDER = "Tests/images"


def downloaded(place: Path) -> Path:
    """Pillow's source distribution."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "-q"]
    subprocess.run([*command, "--no-build-isolation", "-d", str(place), f"pillow=={RELEASE}"], check=True)
    (found,) = place.glob("*.tar.gz")
    return found


def unpacked(archive: Path, place: Path) -> list[Path]:
    """The files of its tests, without folders."""
    with tarfile.open(archive) as tar:
        members = [one for one in tar if one.isfile() and f"/{FOLDER}/" in one.name]
        tar.extractall(place, members, filter="data")
    return sorted(path for path in place.rglob("*") if path.is_file())


def ours(path: Path) -> np.ndarray:
    """The image as one of a dataset."""
    with open_image(path) as image:
        return to_array(image, SIZE)


def pillows(path: Path) -> np.ndarray:
    """The image as Pillow makes it RGB."""
    with Image.open(path) as image:
        return to_array(ImageOps.exif_transpose(image).convert("RGB"), SIZE)


def libvips(path: Path) -> np.ndarray:
    """The image as libvips makes it RGB of 8 bits, on white."""
    import pyvips

    image = pyvips.Image.new_from_file(str(path)).autorot()
    if image.interpretation in ("rgb16", "grey16") or image.format != "uchar" or image.bands not in (1, 3):
        if image.hasalpha():
            image = image.flatten(background=[255.0])
        image = image.colourspace("srgb")
    image = image.cast("uchar")
    pixels = image.numpy()
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    pixels = np.repeat(pixels, 3, 2) if pixels.shape[2] == 1 else pixels[..., :3]
    return to_array(Image.fromarray(np.ascontiguousarray(pixels)), SIZE)


def read_by(read: Callable[[Path], np.ndarray], path: Path) -> np.ndarray | None:
    """What a reader makes of a file; None where it cannot."""
    try:
        return read(path)
    except Exception:  # a broken file can fail in any way
        return None


def compared(path: Path) -> dict[str, Any]:
    """Who reads a file, and by how many levels ours differs from theirs, on average."""
    own, theirs = read_by(ours, path), {"pillow": read_by(pillows, path), "libvips": read_by(libvips, path)}
    found: dict[str, Any] = {"file": path.name, "ours": own is not None}
    for name, pixels in theirs.items():
        found[name] = pixels is not None
        if own is not None and pixels is not None:
            found[f"from_{name}"] = round(float(np.abs(own.astype(float) - pixels).mean()), 2)
    return found


def counts(files: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Numbers by suffix: files, those that each one reads, and those that are alike."""
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for one in files:
        kind = by_kind[suffix_of(one["file"]).lower() or "none"]
        kind["files"] += 1
        for name in ("ours", "pillow", "libvips"):
            kind[name] += one[name]
        for name in ("pillow", "libvips"):
            kind[f"as_{name}"] += one.get(f"from_{name}", ALIKE + 1) <= ALIKE
            kind[f"both_{name}"] += f"from_{name}" in one
    return {kind: dict(number) for kind, number in sorted(by_kind.items(), key=lambda one: -one[1]["files"])}


@click.command(help=__doc__)
@click.option("--archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), default=DATA, show_default=True)
def main(archive: Path | None, output: Path) -> None:
    import pyvips

    Image.MAX_IMAGE_PIXELS = LARGEST // 2
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        archive = archive or downloaded(Path(place))
        files = [compared(path) for path in unpacked(archive, Path(place, "files"))]
    table = counts(files)
    odd = [
        one
        for one in files
        if min((one[name] for name in ("from_pillow", "from_libvips") if name in one), default=0) > ALIKE
    ]
    missed = [one["file"] for one in files if not one["ours"] and (one["pillow"] or one["libvips"])]
    about = environment() | {"files": archive.name, "pillow": Image.__version__, "pyvips": pyvips.__version__}
    found = {"environment": about, "kinds": table, "unlike_both": odd, "missed": missed}
    output.write_text(json.dumps(found, indent=1) + "\n")
    show(table)
    click.echo(f"unlike both: {', '.join(one['file'] for one in odd) or 'none'}")
    click.echo(f"read by others alone: {', '.join(missed) or 'none'}")


def show(table: dict[str, dict[str, int]]) -> None:
    """Print the numbers."""
    shown = Table()
    for heading in ("suffix", "files", "read", "by Pillow", "by libvips", "as Pillow", "as libvips"):
        shown.add_column(heading, justify="left" if heading == "suffix" else "right")
    total = Counter()
    for kind, number in table.items():
        total.update(number)
        shown.add_row(kind, *_row(number))
    shown.add_row("all", *_row(total))
    Console().print(shown)


def _row(number: dict[str, int]) -> list[str]:
    alike = [f"{number[f'as_{name}']} of {number[f'both_{name}']}" for name in ("pillow", "libvips")]
    return [*(str(number[name]) for name in ("files", "ours", "pillow", "libvips")), *alike]


if __name__ == "__main__":
    main()
