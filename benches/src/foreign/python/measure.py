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


def cores(fields):
    return fields.get("Cpus_allowed_list", "unknown")


def children():
    tasks = os.listdir("/proc/self/task")
    return [int(pid) for task in tasks for pid in text(f"/proc/self/task/{task}/children").split()]


def pages():
    """The memory of this process and its children, what several share out among them: in bytes."""
    lines = [
        line
        for pid in [os.getpid(), *children()]
        for line in text(f"/proc/{pid}/smaps_rollup").splitlines()
    ]
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def growth(looks, units):
    """What each unit costs by the memory at a first number of units and at a second."""
    return max(0, looks[1] - looks[0]) // (units[1] - units[0])


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
        now, pins = Counter(), Counter()
        for pid in [me, *(children() if self.with_children else [])]:
            fields = status(f"/proc/{pid}")
            now["processes"] += 1
            now["threads"] += int(fields.get("Threads", 0))
            now["peak_bytes"] += int(fields.get("VmHWM", "0 kB").split()[0]) * 1024
            if pid == me:
                for tid in sorted(map(int, os.listdir("/proc/self/task")))[: LOOKED_AT + 1]:
                    who = "main thread" if tid == me else "thread"
                    pins[who, cores(status(f"/proc/self/task/{tid}"))] += 1
            else:
                pins["worker process", cores(fields)] += 1
        # Those of the moment when there were most.
        self.pins = max(pins, self.pins, key=lambda pins: sum(pins.values()))
        for field, value in now.items():
            self.seen[field] = max(self.seen[field], value)

    def finding(self, found, remarks):
        """What there is to tell: what the model has `found`, and what it cost."""
        after = cost()
        remarks = [versions(), *remarks, *found.pop("remarks", [])]
        return {
            "wall_ns": self.wall_ns,
            **{field: after[field] - self.before[field] for field in after},
            "seen": self.seen,
            "pins": [
                {"who": who, "cores": cores, "count": count}
                for (who, cores), count in self.pins.items()
            ],
            "remarks": remarks,
            **found,
        }


def answers(results):
    """What jobs found: pairs of nanoseconds and answer, in order."""
    return {"results": [(took, int(answer or 0)) for took, answer in results]}
