"""CPython's concurrent.futures as a contender: the rows of pools.rs, measured the same way.

Prints one line of JSON, an object of numbers; an empty one for what a pool has not.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

CHUNK = 1000
PAGE = 4096
SETTLING = 0.1
LIFE = 120


def double(number):
    return 2 * number


def look(payload):
    return sum(payload[::PAGE])


def stuck(sign):
    with open(sign, "w") as file:
        file.write(str(os.getpid()))
    while True:
        time.sleep(1)


class Bench:
    def __init__(self, options):
        self.options = options
        self.processes = options.kind == "processes"

    def pool(self, workers=None):
        kind = ProcessPoolExecutor if self.processes else ThreadPoolExecutor
        return kind(workers or self.options.workers)

    def per_unit(self, work):
        """Nanoseconds per unit of a run that is long enough; the shorter ones warm up."""
        count, enough = 1, self.options.milliseconds / 1000
        while True:
            took = work(count)
            if took >= enough:
                return took * 1e9 / count
            factor = min(max(enough * 1.3 / max(took, 1e-9), 1.5), 20)
            count = max(int(count * factor), count + 1)

    def round_trip(self):
        pause = self.options.pause / 1e6

        def work(count):
            total = 0
            for number in range(count):
                if pause:
                    time.sleep(pause)
                begin = time.perf_counter()
                assert pool.submit(double, number).result() == 2 * number
                total += time.perf_counter() - begin
            return total

        with self.pool() as pool:
            return {"ns": self.per_unit(work)}

    def submit(self):
        submitted = 0

        def work(count):
            nonlocal submitted
            begin = time.perf_counter()
            futures = [pool.submit(double, number) for number in range(count)]
            submitted = (time.perf_counter() - begin) * 1e9 / count
            for number, future in enumerate(futures):
                assert future.result() == 2 * number
            return time.perf_counter() - begin

        with self.pool() as pool:
            ns = self.per_unit(work)
            return {"submit_ns": submitted, "ns": ns}

    def map(self):
        # Threads take no chunks: a million would take half a minute.
        items = 1_000_000 if self.processes else 20_000

        def work(count):
            begin = time.perf_counter()
            for _ in range(count):
                doubled = list(pool.map(double, range(items), chunksize=CHUNK))
                assert len(doubled) == items and doubled[-1] == 2 * (items - 1)
            return time.perf_counter() - begin

        with self.pool() as pool:
            work(1)
            return {"ns": self.per_unit(work) / items}

    def start(self):
        def work(count):
            total = 0
            for number in range(count):
                begin = time.perf_counter()
                with self.pool(1) as pool:
                    assert pool.submit(double, number).result() == 2 * number
                    total += time.perf_counter() - begin
            return total

        return {"ns": self.per_unit(work)}

    def kill(self):
        """A pool that has lost a worker is broken for good: it is made anew."""
        if not self.processes:
            return {}
        noticed, pool = 0, self.pool(1)

        def one():
            nonlocal pool
            with tempfile.TemporaryDirectory() as folder:
                sign = os.path.join(folder, "runs")
                future = pool.submit(stuck, sign)
                pid = wait_for(sign)
                begin = time.perf_counter()
                os.kill(pid, signal.SIGKILL)
                assert future.exception() is not None
                ended = time.perf_counter() - begin
                broken, pool = pool, self.pool(1)
                assert pool.submit(double, 1).result() == 2
                replaced = time.perf_counter() - begin
            broken.shutdown()
            return ended, replaced

        def work(count):
            nonlocal noticed
            times = [one() for _ in range(count)]
            noticed = sum(ended for ended, _ in times) * 1e9 / count
            return sum(replaced for _, replaced in times)

        ns = self.per_unit(work)
        pool.shutdown()
        return {"noticed_ns": noticed, "ns": ns}

    def payload(self):
        """Pickled, written to a pipe, read and unpickled."""
        if not self.processes:
            return {}
        length = self.options.mib << 20
        payload = b"\1" * length

        def work(count):
            begin = time.perf_counter()
            for _ in range(count):
                assert pool.submit(look, payload).result() == -(-length // PAGE)
            return time.perf_counter() - begin

        with self.pool(1) as pool:
            return {"ns": self.per_unit(work)}

    def idle(self):
        with self.pool() as pool:
            for number in range(100):
                assert pool.submit(double, number).result() == 2 * number
            time.sleep(SETTLING)
            before, begin = cpu_of_all_but_main(), time.perf_counter()
            time.sleep(self.options.milliseconds / 1000)
            after, slept = cpu_of_all_but_main(), time.perf_counter() - begin
            return {"cpu_ns_per_s": max(after - before, 0) / slept}


def wait_for(sign):
    while True:
        try:
            with open(sign) as file:
                return int(file.read())
        except (FileNotFoundError, ValueError):
            time.sleep(0.001)


def descendants():
    """The processes that this one has started, and those that they have."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/status") as file:
                line = next(line for line in file if line.startswith("PPid:"))
        except (OSError, StopIteration):
            continue
        parents.setdefault(int(line.split()[1]), []).append(int(name))
    found = [os.getpid()]
    for parent in found:
        found.extend(parents.get(parent, []))
    return found[1:]


def cpu_of_all_but_main():
    """Nanoseconds on a CPU of all threads of this process but the main one, and of its children."""
    total = 0
    for pid in [os.getpid(), *descendants()]:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                if int(thread) != os.getpid():
                    with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                        total += int(file.read().split()[0])
        except OSError:
            continue
    return total


def give_up(*_):
    for pid in descendants():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    print("it did not end in time", file=sys.stderr, flush=True)
    os._exit(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["threads", "processes"])
    rows = ["round-trip", "submit", "map", "start", "kill", "payload", "idle"]
    parser.add_argument("row", choices=rows)
    parser.add_argument("--milliseconds", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pause", type=int, default=0)
    parser.add_argument("--mib", type=int, default=1024)
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LIFE)
    bench = Bench(options)
    print(json.dumps(getattr(bench, options.row.replace("-", "_"))()))


if __name__ == "__main__":
    main()
