"""Put the ImageNet weights of the package's EfficientNet-Lite0 where timm looks for them in a hub's cache.

    python hub_cache.py CACHE

So other tools that fine-tune timm's network begin with the same weights, without a network. CACHE is what
they are given as HF_HOME.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from safetensors.torch import save_file

from nni_nasoa.zoo import create_model

REPOSITORY = "models--timm--tf_efficientnet_lite0.in1k"  # as a cache names timm/tf_efficientnet_lite0.in1k
REVISION = "0" * 40


def main(cache: Path) -> None:
    """Fill the cache."""
    folder = cache / "hub" / REPOSITORY
    snapshot = folder / "snapshots" / REVISION
    snapshot.mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(REVISION)
    state = create_model("lite0", weights="default").state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, snapshot / "model.safetensors")
    (snapshot / "config.json").write_text(json.dumps({"architecture": "tf_efficientnet_lite0"}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
