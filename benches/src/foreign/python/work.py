"""The work itself, the same for all models; what waits, waits as a thread does."""

import importlib
import math
import time
from functools import partial

MASK = 2**64 - 1
MESSAGE = 64


def is_prime(n):
    """Trial division by the odd numbers up to the root."""
    if n < 2 or n % 2 == 0:
        return n == 2
    return all(n % divisor for divisor in range(3, math.isqrt(n) + 1, 2))


def divide(n, divisions):
    """The CPU part of a mixed request: the rests of so many divisions, added up."""
    return sum(n % divisor for divisor in range(3, 2 * divisions + 3, 2)) & MASK


def copy(piece, source, target):
    """Copies a file in pieces; returns its length."""
    length = 0
    with open(source, "rb", buffering=0) as reader, open(target, "wb", buffering=0) as writer:
        while block := reader.read(piece):
            writer.write(block)
            length += len(block)
    return length


loaded = {}


def load(order):
    """Loads what only some work needs, before the clock runs."""
    if order.workload == "downloads":
        loaded["web"] = importlib.import_module("web")


def places(order):
    """The server and the number of each download."""
    for number in range(order.count):
        yield order.servers[number % len(order.servers)], number


def files(order):
    """The pairs of paths to copy."""
    for number in range(order.count):
        yield f"{order.source}/{number:06}", f"{order.target}/{number:06}"


def jobs(order):
    """The jobs, each a call without arguments that blocks until it is done."""
    if order.workload == "primes":
        return [partial(is_prime, n) for n in order.numbers]
    if order.workload == "sleepers":
        return [partial(time.sleep, order.nap)] * order.count
    if order.workload == "copy":
        return [partial(copy, order.piece, *paths) for paths in files(order)]
    if order.workload == "downloads":
        return [partial(loaded["web"].download, *place) for place in places(order)]
    raise ValueError(f"{order.workload} has no jobs")


def timed(job):
    """Does a job: the nanoseconds it took, and its answer."""
    begin = time.perf_counter_ns()
    answer = job()
    return time.perf_counter_ns() - begin, answer


def number(request):
    return int.from_bytes(request[:8], "little")


def reply(request, rests):
    return request[:8] + rests.to_bytes(8, "little") + request[16:]


# The first word of a message of the store, and that of a key that isn't there.
SET = (2).to_bytes(8, "little")
ABSENT = (3).to_bytes(8, "little")


def act(store, request):
    """Gets or sets a key; the reply. A single operation of a dict needs no lock among threads."""
    key = request[8:16]
    if request[:8] == SET:
        store[key] = request[16:]
        return request
    value = store.get(key)
    if value is None:
        return ABSENT + key + bytes(MESSAGE - 16)
    return request[:16] + value


def announce(address):
    print(f"listening {address[0]}:{address[1]}", flush=True)
