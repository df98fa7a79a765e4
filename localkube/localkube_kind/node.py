"""The process inside a node's namespaces: it prepares them, keeps the components running, and relays the API server.

It is the first process of new network, mount and process namespaces (see node_process.py). When it ends, every process,
mount, interface and iptables rule of the cluster ends with it.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from . import cgroup, configuration, image
from .layout import API_PORT, CONTAINERD_SOCKET, KUBELET, NODE_IP, VOLUMES, Layout
from .node_process import COMPLETE, RECORDED

_PRIVATE = ("/run", "/var/lib", "/var/log")
# Kernel settings that kubelet requires and would write. They belong to the machine, and would stay changed.
_TUNABLES = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1}
_RESTART_SECONDS = 2.0
_RELAY_CHUNK = 256 * 1024
# Garbage collection took a fifth of its time (pprof); a small cluster has memory to spare rather than cores.
_API_SERVER_GOGC = "300"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _prepare_mounts(at: Layout) -> None:
    """Mount over the folders that a node writes to, so that it changes no file of the machine outside its own folder."""
    for folder in _PRIVATE:
        for path, remedy in ((at.root, "set LITCLAW_CACHE to"), (Path(__file__), "move this clone to")):
            if path.is_relative_to(folder):
                raise SystemExit(f"{path} is below {folder}, which a node hides: {remedy} another folder")
        _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    for name, target in (("volumes", VOLUMES), ("kubelet", KUBELET)):
        Path(target).mkdir(parents=True)
        _run("mount", "--bind", str(at.root / name), target)
    for tunable, wanted in _TUNABLES.items():
        file = at.config / tunable.replace("/", ".")
        file.write_text(f"{wanted}\n")
        _run("mount", "--bind", str(file), f"/proc/sys/{tunable}")
    _run("mount", "--make-rshared", "/")


def _prepare_network() -> None:
    _run("ip", "link", "set", "lo", "up")
    # A veth pair with an unused end, because not every kernel has dummy interfaces.
    _run("ip", "link", "add", "node0", "type", "veth", "peer", "name", "nowhere0")
    _run("ip", "address", "add", f"{NODE_IP}/24", "dev", "node0")
    _run("ip", "link", "set", "node0", "up")
    _run("ip", "link", "set", "nowhere0", "up")
    _run("ip", "route", "add", "default", "dev", "node0")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


async def _keep_running(name: str, command: list[str], at: Layout) -> None:
    with (at.logs / f"{name}.log").open("ab", buffering=0) as log:
        while True:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(at, name)
            )
            cgroup.enter(at.cgroup, name, process.pid)
            status = await process.wait()
            log.write(f"--- {name} exited with {status}; restarting\n".encode())
            await asyncio.sleep(_RESTART_SECONDS)


def _environment(at: Layout, name: str) -> dict[str, str]:
    # The node doesn't inherit the machine's proxies and certificates.
    own = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(at.root)}
    return {**own, "GOGC": _API_SERVER_GOGC} if name == "kube-apiserver" else own


async def _import_pause(at: Layout) -> None:
    """Import the image of every pod's first container, which kubelet needs at its start."""
    archive = at.root / "pause.tar"
    command = ("ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images", "import", str(archive))
    for _ in range(120):
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if await process.wait() == 0:
            return
        await asyncio.sleep(0.5)
    raise SystemExit(f"containerd can't import {image.PAUSE}: see {at.logs}/containerd.log")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_RELAY_CHUNK):
            writer.write(data)
            await writer.drain()
    with suppress(ConnectionError, OSError):
        if writer.can_write_eof():
            writer.write_eof()


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        inner_reader, inner_writer = await asyncio.open_connection(NODE_IP, API_PORT)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
    for end in (writer, inner_writer):
        end.close()


async def _end_with_an_early_maker() -> None:
    """End the node if the command that creates its cluster ends before the cluster is complete."""
    if await asyncio.to_thread(os.read, sys.stdin.fileno(), 1) != COMPLETE:
        # The first process of the namespaces then ends too, and everything in them with it.
        os._exit(1)


async def _serve(at: Layout, listener: socket.socket) -> None:
    await asyncio.start_server(_relay, sock=listener)
    maker = asyncio.create_task(_end_with_an_early_maker())
    commands = configuration.commands(at)
    running = [asyncio.create_task(_keep_running("containerd", commands.pop("containerd"), at))]
    kubelet = commands.pop("kubelet")
    running += [asyncio.create_task(_keep_running(name, command, at)) for name, command in commands.items()]
    await _import_pause(at)
    running.append(asyncio.create_task(_keep_running("kubelet", kubelet, at)))
    await asyncio.gather(maker, *running)


def _reap_until_end_of(child: int) -> int:
    """Wait for all children: the first process of a namespace inherits every orphan in it, and must reap them."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def main() -> int:
    """Run the node; doesn't return while it lives."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--listener", type=int, required=True, help="file descriptor of the socket to relay")
    options = parser.parse_args()
    at = Layout(options.name)
    if os.read(sys.stdin.fileno(), 1) != RECORDED:
        raise SystemExit("the command that started this node ended before it could record it")
    listener = socket.socket(fileno=options.listener)
    _prepare_mounts(at)
    _prepare_network()
    child = os.fork()
    if child:
        return _reap_until_end_of(child)
    asyncio.run(_serve(at, listener))
    return 0


if __name__ == "__main__":
    sys.exit(main())
