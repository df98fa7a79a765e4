"""The domain under which the cluster's Services have names."""

from pathlib import Path
from typing import Final

DEFAULT: Final = "cluster.local"
_RESOLVER: Final = Path("/etc/resolv.conf")


def cluster_domain(resolver: Path = _RESOLVER) -> str:
    """The cluster's domain, from the search list that a kubelet gives each pod; `DEFAULT` elsewhere.

    Args:
        resolver: a pod's resolv.conf, with ``search <namespace>.svc.<domain> svc.<domain> <domain> …``.
    """
    try:
        lines = resolver.read_text().splitlines()
    except OSError:
        return DEFAULT
    for line in lines:
        keyword, *names = line.split() or [""]
        if keyword == "search":
            found = [name.removeprefix("svc.").rstrip(".") for name in names if name.startswith("svc.")]
            return found[0] if found else DEFAULT
    return DEFAULT
