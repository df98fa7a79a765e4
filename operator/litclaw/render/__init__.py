"""From resources and observations to manifests and files. Pure: no I/O, the same bytes for the same input."""
