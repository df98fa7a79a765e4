"""``litclaw crds``: the CustomResourceDefinitions of this release."""

from pathlib import Path
from typing import Annotated

import typer


def crds(
    output: Annotated[
        Path | None, typer.Option(help="Folder for one file per kind; default: print them.", show_default=False)
    ] = None,
) -> None:
    """Print the CustomResourceDefinitions, which are generated from the models."""
    from litclaw.api.crd import crd_files

    for name, text in crd_files().items():
        if output is None:
            typer.echo(f"---\n{text}", nl=False)
        else:
            output.mkdir(parents=True, exist_ok=True)
            (output / name).write_text(text)
