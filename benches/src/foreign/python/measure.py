"""What a run costs and consists of: getrusage(2) and /proc, as the meter of the other models."""

import os
import platform
import resource
import sys
import time
from collections import Counter

# All threads of a kind are alike: it is enough to look at some.
LOOKED_AT = 8


def confine(cores):
    os.sched_setaffinity(0, cores)


def cost():
    """CPU time and switches of this process and of the children it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "cpu_ns": round(sum(usage.ru_utime + usage.ru_stime for usage in usages) * 1e9),
        "voluntary": sum(usage.ru_nvcsw for usage in usages),
        "involuntary": sum(usage.ru_nivcsw for usage in usages),
    }


def text(path):
    """A file of /proc; empty when its process or thread has ended meanwhile."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def status(path):
    lines = text(f"{path}/status").splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def children():
    tasks = os.listdir("/proc/self/task")
    return [int(pid) for task in tasks for pid in text(f"/proc/self/task/{task}/children").split()]


def versions():
    enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
    lock = "" if enabled else " without the GIL"
    return f"{platform.python_implementation()} {platform.python_version()}{lock}"


class Stage:
    """A run under way; the clock runs from the moment it is made."""

    def __init__(self, with_children):
        self.with_children = with_children
        self.seen = {"threads": 0, "processes": 0, "peak_bytes": 0}
        self.pins = Counter()
        self.wall_ns = 0
        self.before = cost()
        self.begin = time.perf_counter_ns()

    def last(self):
        """The last job is done: the clock stops, before threads and processes go."""
        self.wall_ns = time.perf_counter_ns() - self.begin
        self.look()

    def look(self):
        """Notes the threads and processes there are, their memory, and where they may run."""
        me = os.getpid()
        self.pins.clear()
        now = Counter()
        for pid in [me, *(children() if self.with_children else [])]:
            fields = status(f"/proc/{pid}")
            now["processes"] += 1
            now["threads"] += int(fields.get("Threads", 0))
            now["peak_bytes"] += int(fields.get("VmHWM", "0 kB").split()[0]) * 1024
            if pid == me:
                for tid in sorted(map(int, os.listdir("/proc/self/task")))[: LOOKED_AT + 1]:
                    who = "main thread" if tid == me else "thread"
                    self.pin(who, status(f"/proc/self/task/{tid}"))
            else:
                self.pin("worker process", fields)
        for field, value in now.items():
            self.seen[field] = max(self.seen[field], value)

    def pin(self, who, fields):
        self.pins[who, fields.get("Cpus_allowed_list", "unknown")] += 1

    def finding(self, results, remarks):
        """What there is to tell; `results` are pairs of nanoseconds and answer, in order."""
        after = cost()
        return {
            "wall_ns": self.wall_ns,
            **{field: after[field] - self.before[field] for field in after},
            "seen": self.seen,
            "pins": [
                {"who": who, "cores": cores, "count": count}
                for (who, cores), count in self.pins.items()
            ],
            "remarks": [versions(), *remarks],
            "results": [(took, int(answer or 0)) for took, answer in results],
        }
