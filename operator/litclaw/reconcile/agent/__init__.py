"""OpenClawAgent: access, key, configuration, gateway, deletion."""
