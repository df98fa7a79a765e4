"""Golden manifests: every object that Litclaw renders for ten cases, so that a diff shows the effect of a change.

A case is a folder with an ``input.yaml``, a ``model-info.json`` where the proxy's answer matters, and one file per
rendered object, ``<kind>-<name>.yaml``. ``make golden`` writes the rendered files again.
"""
