"""How images become squares of colours: the same for all images of a dataset, and for those to predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nni_nasoa.values import NUMBER, list_of, one_of, whole

CROP, PAD, SQUISH = GEOMETRIES = ("crop", "pad", "squish")
PADDING = 128  # the grey beside a padded image, which is about the mean that networks subtract

_RANGE, _GREY, _GEOMETRY = list_of(NUMBER, "two numbers", 2, 2), whole(0, 255), one_of(GEOMETRIES)


@dataclass(frozen=True)
class Rendering:
    """What black and white are, what lies under transparent images, and how a square comes of an oblong.

    Parameters
    ----------
    integers, floats
        The values that become black and white in grey images of more than 8 bits, and of floats.
    background
        Grey on which transparent images are laid, from 0 to 255.
    geometry
        "crop" cuts the centre out, "pad" adds grey beside the whole, "squish" distorts the whole.
    """

    integers: tuple[float, float] = (0.0, 65535.0)
    floats: tuple[float, float] = (0.0, 255.0)
    background: int = 255
    geometry: str = CROP

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "integers": [*self.integers],
            "floats": [*self.floats],
            "background": self.background,
            "geometry": self.geometry,
        }

    @classmethod
    def from_json(cls, data: Any) -> Rendering:
        """The inverse of `to_json`.

        Raises
        ------
        ValueError
            It is none.
        """
        if not isinstance(data, Mapping):
            raise ValueError('not an object with "integers", "floats" and "background"')
        ranges = []
        for name in ("integers", "floats"):
            low, high = _RANGE(name, data.get(name), ValueError)
            if low >= high:
                raise ValueError(f"{name}: {high:g} is not above {low:g}")
            ranges.append((low, high))
        background = _GREY("background", data.get("background"), ValueError)
        # An earlier release, which cropped, has saved none.
        geometry = _GEOMETRY("geometry", data.get("geometry", CROP), ValueError)
        return cls(ranges[0], ranges[1], background, geometry)

    @classmethod
    def of_description(cls, about: Mapping[str, Any]) -> Rendering:
        """That of a classifier's description; one that an earlier release has saved has none."""
        return cls() if about.get("rendering") is None else cls.from_json(about["rendering"])


PLAIN = Rendering()  # what suits ordinary images
