"""``python -m litclaw``."""

from .cli.main import app

app()
