"""A cluster of two hosts that share a wire and nothing else of the network.

Each has a network namespace of its own, with its own addresses, loopback and sockets.
They meet this process at a switch, in a third namespace.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

N_HOSTS = 2
NAMES = "sklhash-{pid}-{part}"


class Network:
    """Namespaces around a switch; they are deleted with all that is in them."""

    def __init__(self):
        first = os.getpid() % 2**14 * 8  # in 198.18.0.0/15, meant for tests
        self._prefix = f"198.{18 + (first >> 16)}.{first >> 8 & 255}."
        self._first = first & 255
        self._switch = NAMES.format(pid=os.getpid(), part="switch")
        self.hosts = [NAMES.format(pid=os.getpid(), part=n) for n in range(N_HOSTS)]

    def address_of(self, number):
        """Return the address of a host, or of this process: number -1."""
        return f"{self._prefix}{self._first + 2 + number}"

    def set_up(self):
        """Lay the wires; what dead processes left is taken away first."""
        for name in ip("netns", "list").split():
            owner = re.fullmatch(NAMES.format(pid=r"(\d+)", part=".*"), name)
            if owner and not os.path.exists(f"/proc/{owner[1]}"):
                ip("netns", "delete", name)
        for name in (self._switch, *self.hosts):
            ip("netns", "add", name)
        ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", self._switch, "link", "set", "bridge", "up")
        self._plug_in(-1, f"sklhash{os.getpid()}")
        for number, host in enumerate(self.hosts):
            ip("-n", host, "link", "set", "lo", "up")
            self._plug_in(number, "wire", "-n", host)

    def take_down(self):
        """Delete the namespaces that are there; a wire goes with either of its ends."""
        for name in (self._switch, *self.hosts):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "delete", name)

    def _plug_in(self, number, wire, *where):
        port, address = f"port{number + 1}", f"{self.address_of(number)}/29"
        peer = ("peer", "name", port, "netns", self._switch)
        ip(*where, "link", "add", wire, "type", "veth", *peer)
        ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
        ip(*where, "address", "add", address, "dev", wire)
        ip(*where, "link", "set", wire, "up")


def ip(*words):
    """Run the command that changes networks, and return what it prints."""
    command = ["ip", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def worker_on(host, address, scheduler, folder):
    """Run a worker in a namespace; without a nanny, what is killed stays dead."""
    options = {
        "--host": address,
        "--nthreads": 1,
        "--memory-limit": "2GiB",
        "--local-directory": folder,
        "--death-timeout": 60,
    }
    command = [
        *("ip", "netns", "exec", host),
        *(sys.executable, "-m", "distributed.cli.dask_worker", scheduler),
        *("--no-nanny", "--no-dashboard"),
        *(str(word) for option in options.items() for word in option),
    ]
    log = folder / f"{host}.log"
    with (
        log.open("w") as out,
        subprocess.Popen(command, cwd=PROJECT, stdout=out, stderr=out) as process,
    ):
        try:
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def skip_where_impossible():
    """Skip where namespaces cannot be made."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root and the command ip")
    try:
        yield
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.cmd}: {error.stderr}")


@pytest.fixture
def separate_hosts(tmp_path):
    """A client of a cluster whose two workers have network namespaces of their own."""
    from distributed import Client, LocalCluster

    network = Network()
    with contextlib.ExitStack() as stack:
        stack.callback(network.take_down)
        with skip_where_impossible():
            network.set_up()
        scheduler = stack.enter_context(
            LocalCluster(
                n_workers=0,
                host=network.address_of(-1),
                dashboard_address=f"{network.address_of(-1)}:0",
                scheduler_kwargs={"dashboard": False},
                silence_logs="CRITICAL",
            )
        )
        for number, host in enumerate(network.hosts):
            address = network.address_of(number)
            stack.enter_context(
                worker_on(host, address, scheduler.scheduler_address, tmp_path)
            )
        client = stack.enter_context(Client(scheduler))
        client.wait_for_workers(N_HOSTS, timeout=60)
        yield client
