"""Workers that are slow, write down what they do, and are killed while they do it."""

import contextlib
import os
import signal
import threading
import time
from functools import partial, wraps

SLOW = 0.05  # seconds more that a scan of a shard takes


class Record:
    """Which processes began to scan a shard, in a file that all of them see."""

    def __init__(self, path):
        self.path = path
        path.touch()

    def pids(self):
        """Return the process that began each scan."""
        return [int(line) for line in self.path.read_text().split()]

    def keep(self, client):
        """Make all workers write, also those that come later."""
        client.register_worker_callbacks(partial(_slow_down, str(self.path)))

    @contextlib.contextmanager
    def worker_killed(self, client):
        """Kill the first worker that scans meanwhile, and see that it is gone."""
        n_before = len(self.pids())
        killed, done = [], threading.Event()

        def kill():
            while not killed and not done.wait(SLOW / 10):
                for pid in self.pids()[n_before : n_before + 1]:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            yield
        finally:
            done.set()
            killer.join()
        assert killed, "no worker scanned anything"
        assert killed[0] not in client.run(os.getpid).values()


def _slow_down(path):
    from sklhash.neighbors import search

    def slowly(scan):
        @wraps(scan)
        def scan_slowly(*args, **kwargs):
            with open(path, "a") as record:
                record.write(f"{os.getpid()}\n")
            time.sleep(SLOW)
            return scan(*args, **kwargs)

        return scan_slowly

    search._nearest = slowly(search._nearest)
    search._scan = slowly(search._scan)
