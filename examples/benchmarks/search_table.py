"""The table that `search_quality.py` searches: each network of a small subspace, trained once, and timed."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

from nni_nasoa.architecture import Architecture, ArchitectureError, ArchitectureSpace
from nni_nasoa.files import write_bytes
from nni_nasoa.search.choices import choices, decode
from nni_nasoa.search.reward import reward

TABLE = Path(__file__).parent / "data" / "search_table.json.gz"
# 320 networks: blocks of one or two operations of four kinds, narrow or not, in shallow macros
# that train in a second.
SPACE = ArchitectureSpace(
    layers=(1, 2),
    ops=(0, 1, 4, 6),
    ratios=(0, 2),
    skips=("none",),
    channels=(8, 16),
    stages=(1, 2),
    blocks=(1,),
    doublings=(0, 1),
)
PROXY = {"dataset": "digits", "input_size": 16, "batch_size": 64, "epochs": 2}


def all_networks(space: ArchitectureSpace) -> list[Architecture]:
    """Every valid network of the space, once."""
    labels, values = zip(*((choice.label, choice.values) for choice in choices(space)))
    networks = {}
    for combination in itertools.product(*values):
        try:
            networks[decode(dict(zip(labels, combination)))] = None
        except ArchitectureError:
            continue
    return list(networks)


def record(path: Path) -> None:
    """Train and time each network that the table at `path` lacks, on one thread; if stopped, it goes on."""
    import torch

    from nni_nasoa.data import open_dataset
    from nni_nasoa.networks import ETNet
    from nni_nasoa.training.proxy import train_proxy
    from nni_nasoa.training.speed import environment, relative_speed

    torch.set_num_threads(1)
    size, batch = PROXY["input_size"], PROXY["batch_size"]
    split = open_dataset(PROXY["dataset"], input_size=size)
    table = (
        json.loads(gzip.decompress(path.read_bytes())) if path.exists() else {"proxy": PROXY, "networks": {}}
    )
    if table["proxy"] != PROXY:
        raise SystemExit(
            f"{path} was recorded under other settings: {table['proxy']}; remove it to record again"
        )
    table["environment"] = environment()
    networks = all_networks(SPACE)
    table["networks"] = {
        text: table["networks"][text] for text in map(str, networks) if text in table["networks"]
    }
    for i, architecture in enumerate(networks, start=1):
        if str(architecture) not in table["networks"]:
            torch.manual_seed(0)
            network = ETNet(architecture, len(split.classes))
            accuracy = train_proxy(network, split, epochs=PROXY["epochs"], batch_size=batch)
            speed = relative_speed(network, size, batch, repeats=3, warmup=1)
            table["networks"][str(architecture)] = {
                "accuracy": round(accuracy, 5),
                "relative_speed": round(speed.relative_speed, 4),
                "params": architecture.parameters(len(split.classes)),
                "macs": architecture.macs(size, len(split.classes)),
            }
            if i % 20 == 0 or i == len(networks):
                write_table(table, path)
                print(f"{i} of {len(networks)}", flush=True)
    write_table(table, path)


def write_table(table: dict, path: Path) -> None:
    """Write the table in one piece, the same bytes for the same table."""
    write_bytes(path, gzip.compress(json.dumps(table, indent=0).encode(), mtime=0))


def read_table(path: Path) -> dict[str, dict]:
    """Return metrics by encoding, the reward as `default` among them."""
    networks = json.loads(gzip.decompress(path.read_bytes()))["networks"]
    return {
        text: {"default": reward(row["accuracy"], row["relative_speed"]), **row, "architecture": text}
        for text, row in networks.items()
    }
