"""``python -m litclaw``."""

from litclaw.cli.main import app

app()
