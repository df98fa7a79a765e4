"""The contents of the operator's image: what the operator needs, and nothing that helps an intruder."""

import json
from collections.abc import Callable

import pytest

from .api import Object
from .kube import Kube
from .proxy import Proxy

MOST_BYTES = 125 * 2**20
"""The size that docs/install.md gives as about 110 MB, with room for the next release of a dependency."""
_LIST = """
import importlib.util, json, os, sys
roots = ("/bin", "/etc", "/lib", "/lib64", "/opt", "/root", "/sbin", "/srv", "/usr", "/var", "/home", "/boot")
found = {}
for root in (root for root in roots if not os.path.islink(root)):
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if os.path.join(folder, name) != "/var/run"]
        for name in files:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            found[path] = [info.st_size, info.st_mode, info.st_uid]
stale = []
for path in (path for path in found if path.startswith("/opt/") and path.endswith(".py")):
    bytecode = importlib.util.cache_from_source(path)
    header = open(bytecode, "rb").read(8) if bytecode in found else b""
    # PEP 552: the magic number, and how the interpreter checks whether the source has changed.
    if header != importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little"):
        stale.append(path)
print(json.dumps({"files": found, "uid": os.getuid(), "top": os.listdir("/"), "stale": stale}))
"""
_UNWANTED = {
    "a shell": ("/sh", "/bash", "/dash", "/zsh", "/busybox", "/ash"),
    "a package manager": ("/pip", "/pip3", "/apt", "/apt-get", "/dpkg", "/uv", "/easy_install"),
    "a compiler": ("/gcc", "/cc", "/ld", "/as", "/make", "/g++", "/cpp"),
    "a way out": ("/curl", "/wget", "/ssh", "/nc", "/openssl", "/gpg", "/git"),
    "a way up": ("/su", "/sudo", "/mount", "/chroot", "/passwd"),
}


@pytest.fixture(scope="module")
def image(kube: Kube, proxy: Proxy) -> Object:
    """Every file of the running operator's image, with size, mode and owner."""
    command = ("-n", "litclaw-system", "exec", "-i", "deployment/litclaw", "--", "/opt/litclaw/bin/python", "-")
    found: Object = json.loads(kube.run(*command, stdin=_LIST).stdout)
    return found


def _matching(image: Object, match: Callable[[str], bool]) -> list[str]:
    return [path for path in image["files"] if match(path)]


@pytest.mark.parametrize("what", _UNWANTED)
def test_it_lacks(image: Object, what: str) -> None:
    programs = _matching(image, lambda path: bool(image["files"][path][1] & 0o111))
    assert "/usr/bin/python3.11" in programs
    assert [path for path in programs if path.endswith(_UNWANTED[what])] == []


def test_it_holds_no_tests_and_no_installer(image: Object) -> None:
    packages = "/opt/litclaw/lib/python3.11/site-packages/"
    unwanted = ("/pip/", "/setuptools/", "/ensurepip/", "/tests/", "/test/", "/idlelib/", "/distutils/")
    assert _matching(image, lambda path: any(part in path for part in unwanted)) == []
    assert _matching(image, lambda path: path.startswith(f"{packages}litclaw/") and path.endswith("/operator.py"))


def test_it_holds_no_secret(image: Object) -> None:
    names = (".pem", ".key", "id_rsa", ".netrc", ".npmrc", ".pypirc", "credentials", ".env", ".git-credentials")
    authorities = "/certifi/cacert.pem"
    found = _matching(image, lambda path: path.endswith(names) and not path.endswith(authorities))
    assert found == ["/usr/lib/ssl/cert.pem"], "a link to the public authorities"


def test_nothing_runs_as_root_or_can_be_changed(image: Object) -> None:
    assert image["uid"] == 65532
    for path, (_, mode, owner) in image["files"].items():
        assert not mode & 0o6000, f"{path} is set-uid or set-gid"
        assert owner == 0, f"{path} isn't root's"
        assert (mode & 0o170000) == 0o120000 or not mode & 0o002, f"{path} can be written to by all"


def test_nothing_is_compiled_at_its_start(image: Object) -> None:
    """An archive rounds file times, so bytecode that is checked by its source's time would be stale."""
    assert image["stale"] == []


def test_its_size_is_what_the_docs_say(image: Object) -> None:
    size = sum(size for size, _, _ in image["files"].values())
    assert 60 * 2**20 < size < MOST_BYTES, f"{size / 2**20:.0f} MiB"


def test_a_scanner_finds_what_of_debian_is_in_it(image: Object) -> None:
    """The record of each Debian package that a library comes from, in the form that images without dpkg use."""
    records = {path.rpartition("/")[2] for path in image["files"] if path.startswith("/var/lib/dpkg/status.d/")}
    assert {"libc6", "libssl3", "python3.11-minimal", "libpython3.11-stdlib", "zlib1g"} <= records
    licences = {path.split("/")[4] for path in image["files"] if path.startswith("/usr/share/doc/")}
    assert records <= licences
