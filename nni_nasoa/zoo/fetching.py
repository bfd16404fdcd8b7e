"""Download one file of weights, in a process that may be killed at any moment; see `downloading`.

python -m nni_nasoa.zoo.fetching hub REPOSITORY NAME
python -m nni_nasoa.zoo.fetching file URL PATH
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from urllib.request import urlopen

from nni_nasoa.files import replacing

from .downloading import SILENT_SECONDS

_HASH = re.compile(r"-([0-9a-f]{8,})\.")  # the names of torch's files hold it


def fetch_from_hub(repository: str, name: str) -> None:
    """Download a file of a repository into the cache of Hugging Face's library."""
    from huggingface_hub import hf_hub_download

    hf_hub_download(repository, name)


def fetch_file(url: str, path: Path) -> None:
    """Download a file, whose name may hold the beginning of its sha256, as torch.hub has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with urlopen(url, timeout=SILENT_SECONDS) as answer, replacing(path) as draft:
        digest = hashlib.sha256()
        with draft.open("wb") as file:
            while part := answer.read(2**20):
                digest.update(part)
                file.write(part)
        expected = _HASH.search(path.name)
        if expected is not None and not digest.hexdigest().startswith(expected[1]):
            raise OSError(f"{url}: damaged on its way (its sha256 is {digest.hexdigest()[:8]}...)")


def main(arguments: list[str]) -> None:
    """Download what the arguments say; what goes wrong is the last line of stderr."""
    kind, first, second = arguments
    try:
        if kind == "hub":
            fetch_from_hub(first, second)
        else:
            fetch_file(first, Path(second))
    except Exception as error:
        raise SystemExit(" ".join(str(error).split()) or type(error).__name__) from None


if __name__ == "__main__":
    main(sys.argv[1:])
