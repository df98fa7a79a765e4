"""Objects of an OpenClawAgent, one module per object."""
