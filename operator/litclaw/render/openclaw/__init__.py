"""``openclaw.json``: its content, and what each OpenClaw release reads."""
