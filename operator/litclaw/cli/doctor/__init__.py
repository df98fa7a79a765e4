"""``litclaw doctor``: checks of an installation. A check only reads."""
