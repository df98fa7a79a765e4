"""One module per object of an OpenClawAgent."""
