"""The page of a server: one file, whose only script and styles are in it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from nni_nasoa import __version__
from nni_nasoa.finetune.classifier import Classifier
from nni_nasoa.messages import readable
from nni_nasoa.values import SHARE

from .uploads import Limits

CLASSES = 60  # that are named before the others are folded in
HERE = Path(__file__).parent


def page(classifier: Classifier, limits: Limits) -> str:
    """The page on which images are dropped, as HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["readable"] = lambda text: readable(str(text))
    accuracy: Any = classifier.metrics.get("val_accuracy")
    return environment.get_template("page.html.j2").render(
        about=classifier.about,
        classes=classifier.classes,
        first=CLASSES,
        accuracy=f"{100 * float(accuracy):.1f} %" if SHARE.allows(accuracy) else None,
        limits=limits,
        version=__version__,
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        script=(HERE / "page.js").read_text(encoding="utf-8"),
    )


def content_security_policy(text: str) -> str:
    """The policy by which a browser runs what is in the page, and nothing that a name might bring into it."""
    script, style = (
        base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        for tag in ("script", "style")
        if (found := re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)) is not None
    )
    return (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
