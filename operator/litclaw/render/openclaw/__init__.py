"""``openclaw.json``: its content, and its layout in each OpenClaw release."""
