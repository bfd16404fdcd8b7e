"""Networks with published accuracy and step times, to be drawn, and compared, beside what is measured.

The figures of ET-NAS are in the zoo's `et_nas.csv`: the table that was published with the checkpoints.
`peers_v100.csv` has those of its peers, on an NVIDIA V100 and for batches of 64 images, read off the paper's
vector figures (NASOA, arXiv 2108.03434, figures 3, 4 and 10) to within 0.5 ms. Those on an NVIDIA RTX 3090
are timm's results, see `nni_nasoa.zoo.timm_published`.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from nni_nasoa import zoo
from nni_nasoa.zoo.timm_published import published

BATCH = 64  # images of a step, in the paper's figures
V100 = f"NVIDIA V100, batch {BATCH}"
RTX_3090 = "NVIDIA RTX 3090, amp"
_PEERS = Path(__file__).with_name("peers_v100.csv")
# Weights of timm's that were trained as these networks first were, a pattern for each series.
_OF_TIMM = {
    "RegNetY": re.compile(r"regnety_(\d+)\.pycls_in1k"),
    "EfficientNet": re.compile(r"tf_efficientnet_(b[0-4])\.in1k"),
    "MobileNet": re.compile(r"mobilenet(v2_100|v3_large_100|v3_small_100)\.(?:ra|lamb)_in1k"),
    "ResNeXt": re.compile(r"resnext(50|101)_32x\dd\.tv_in1k"),
    "ResNet": re.compile(r"resnet(18|34|50|101|152)\.tv_in1k"),
}


@dataclass(frozen=True)
class Network:
    """A network with its accuracy, and how long a step of it takes.

    Parameters
    ----------
    series
        Its family, such as "RegNetY".
    name
        Its name; `short` is what is left of it beside the name of its series.
    imagenet_top1
        Published accuracy on ImageNet, in percent.
    train_ms, infer_ms
        Times of a step, in milliseconds; None where there is none.
    """

    series: str
    name: str
    short: str
    imagenet_top1: float
    train_ms: float | None
    infer_ms: float | None = None

    def step_ms(self, kind: str) -> float | None:
        """The time of a step of a kind, "train" or "infer"."""
        return self.train_ms if kind == "train" else self.infer_ms


def on_v100() -> list[Network]:
    """ET-NAS and its peers on a V100, as the paper has them, each series from the least accurate on."""
    known = [zoo.get(name) for name in zoo.list_models("et-nas")]
    networks = [
        Network(
            "ET-NAS",
            info.name,
            info.name[-1].upper(),
            info.imagenet_top1,
            info.train_step_ms_v100_bs64,
            info.infer_ms_v100_bs64,
        )
        for info in known
        if info.imagenet_top1 is not None
    ]
    with _PEERS.open(newline="", encoding="utf-8") as file:
        networks += [
            Network(
                row["series"],
                row["name"],
                short_name(row["series"], row["name"]),
                float(row["imagenet_top1"]),
                float(row["train_step_ms_v100_bs64"]),
                float(row["infer_ms_v100_bs64"]),
            )
            for row in csv.DictReader(file)
        ]
    return networks


def on_rtx_3090() -> list[Network]:
    """What timm measured, for batches as large as those on the V100; ET-NAS is not among it.

    Those that are not of the paper's peers are of the series "". Sizes are those of the networks' own images.
    """
    networks = []
    for figures in published().values():
        if figures.train_speed is None or figures.imagenet_top1 is None:
            continue
        series, short = "", ""
        for name, pattern in _OF_TIMM.items():
            if match := pattern.fullmatch(figures.name):
                series, short = name, _short_of_timm(name, match[1])
        networks.append(
            Network(series, figures.name, short, figures.imagenet_top1, 1e3 * BATCH / figures.train_speed)
        )
    return networks


def short_name(series: str, name: str) -> str:
    """What is left of a name beside that of its series: "16GF" of "RegNetY-16GF", "50" of "resnet50"."""
    short = re.sub(
        r"^(et-nas-|regnety-|regnet_y_|efficientnet[-_]|mobilenet_?|resnext|resnet)|_32x\dd$",
        "",
        name,
        flags=re.IGNORECASE,
    )
    if series == "other NAS":
        return short
    return short.upper().replace("_LARGE", "-L").replace("_SMALL", "-S").replace("_", ".")


def _short_of_timm(series: str, short: str) -> str:
    if series == "RegNetY":  # in units of 0.1 giga multiply-accumulates
        tenths = int(short)
        return f"{100 * tenths}MF" if tenths < 10 else f"{tenths / 10:g}GF"
    return short_name(series, f"mobilenet{short.removesuffix('_100')}" if series == "MobileNet" else short)
