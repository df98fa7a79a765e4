"""The command line: the calls of ``kind`` that tests and scripts make."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from . import archives, build, cluster

_VERSION = f"kind localkube kubernetes {build.KUBERNETES}"


def _default_kubeconfig() -> Path:
    return Path(os.environ.get("KUBECONFIG", "").split(":")[0] or Path.home() / ".kube" / "config")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kind", description="A real single-node Kubernetes cluster without Docker.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("version", help="the version")
    get = verbs.add_parser("get", help="list clusters, print a kubeconfig or a file of a cluster")
    get.add_argument("what", choices=["clusters", "kubeconfig", "audit-log"])
    create = verbs.add_parser("create", help="create a cluster")
    create.add_argument("what", choices=["cluster"])
    create.add_argument("--image", help="accepted and ignored: localkube has one release")
    create.add_argument("--wait", help="accepted and ignored: the cluster is ready when the command ends")
    load = verbs.add_parser("load", help="put images into a cluster")
    load.add_argument("what", choices=["docker-image", "image-archive"])
    load.add_argument("images", nargs="+")
    delete = verbs.add_parser("delete", help="delete a cluster completely")
    delete.add_argument("what", choices=["cluster"])
    for verb in (get, create, load, delete):
        verb.add_argument("--name", default="kind")
    for verb in (create, delete):
        verb.add_argument("--kubeconfig", type=Path, default=_default_kubeconfig())
    for verb in (get, create, load, delete):
        verb.add_argument("-q", "--quiet", action="store_true", help="accepted and ignored")
    return parser


def _load(options: argparse.Namespace) -> None:
    if options.what == "image-archive":
        cluster.load_archives(options.name, [Path(name) for name in options.images])
        return
    for name in options.images:
        if archive := archives.find(name):
            cluster.load_archives(options.name, [archive])
        elif not cluster.has_image(options.name, name):
            raise cluster.ClusterError(
                f"no archive of {name!r}: build it with images/build, or load one with `kind load image-archive`"
            )


def _get(options: argparse.Namespace) -> None:
    if options.what == "clusters":
        found = cluster.names()
        print("\n".join(found) if found else "No kind clusters found.", file=sys.stdout if found else sys.stderr)
    elif options.what == "kubeconfig":
        print(cluster.layout(options.name).kubeconfig.read_text(), end="")
    else:
        print(cluster.layout(options.name).audit_log)


def main(arguments: list[str]) -> int:
    """Run a command; returns the exit status."""
    if arguments[:1] == ["kubectl"]:
        return _kubectl(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        if options.verb == "version":
            print(_VERSION)
        elif options.verb == "get":
            _get(options)
        elif options.verb == "create":
            cluster.create(options.name, options.kubeconfig)
        elif options.verb == "load":
            _load(options)
        else:
            cluster.delete(options.name, options.kubeconfig)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ERROR: interrupted", file=sys.stderr)
        return 130
    return 0


def _kubectl(arguments: list[str]) -> int:
    binary = build.path_of("localkube")
    if not binary.exists():
        print("ERROR: kubectl is built when the first cluster is created: run `kind create cluster`", file=sys.stderr)
        return 1
    os.execv(binary, ["kubectl", *arguments])
