"""`nasoa serve`: a page and a JSON endpoint that classify images by a saved classifier."""

from __future__ import annotations

from pathlib import Path

import click

from nni_nasoa.messages import readable

from .terminal import clear_errors, tell_aside


@click.command()
@click.argument("folder", metavar="CLASSIFIER", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 is every network of this machine.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one."
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    help="A further name that it is asked by, as that of a reverse proxy; several times for several.",
)
@click.option(
    "--max-megabytes",
    type=click.FloatRange(0, min_open=True),
    default=32,
    show_default=True,
    help="Of a request.",
)
@click.option(
    "--max-megapixels",
    type=click.FloatRange(0, min_open=True),
    default=50,
    show_default=True,
    help="Of an image.",
)
@click.option("--max-images", type=click.IntRange(1), default=100, show_default=True, help="In a request.")
@click.option("--device", default="auto", show_default=True)
def serve(
    folder: Path,
    host: str,
    port: int,
    allowed_hosts: tuple[str, ...],
    max_megabytes: float,
    max_megapixels: float,
    max_images: int,
    device: str,
) -> None:
    """Serve the classifier in the folder CLASSIFIER: a page to drop images on, and JSON for programs.

    The page is at /. POST /predict takes an image as the body, or several as files of a form, and answers
    as `nasoa predict --json` does; ?top_k=5 gives more classes. GET /health says that it is there.

    It is for this machine alone, as it asks for no password, unless --host says otherwise.
    """
    from nni_nasoa.finetune.serving.server import is_local, listen, require_packages, serve, url_of

    with clear_errors():
        require_packages()
        listening = listen(host, port)
        from nni_nasoa.finetune.loading import load_classifier
        from nni_nasoa.finetune.serving.app import app_of
        from nni_nasoa.finetune.serving.queue import PredictionQueue
        from nni_nasoa.finetune.serving.uploads import Limits

        limits = Limits(max(1, int(max_megabytes * 2**20)), max(1, int(max_megapixels * 1e6)), max_images)
        classifier = load_classifier(folder, device)
    from nni_nasoa.finetune.image_inputs import without_pillows_warnings

    local, url = is_local(listening), url_of(listening)
    with without_pillows_warnings(), PredictionQueue(classifier).at_work() as queue:
        app = app_of(
            classifier,
            queue,
            limits,
            local=local,
            allowed_hosts=allowed_hosts,
            tell=lambda line: tell_aside(f"Error: {line}"),
        )
        if not local:
            tell_aside(f"note: whoever reaches {host} can use it, as it asks for no password")
        click.echo(f"serving {readable(str(folder))} at {url}")
        number = serve(app, listening)
    if number:
        raise SystemExit(128 + number)
