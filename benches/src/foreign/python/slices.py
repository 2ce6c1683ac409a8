"""Slices of work with something after each that only one may do at a time (thrash)."""

import time
from contextlib import nullcontext

import work

# For those who can't be interrupted between two lines.
NO_LOCK = nullcontext()


class Ledger:
    """What the lock guards: how many slices were done, and the sum of their answers."""

    def __init__(self, order):
        self.order = order
        self.slices = 0
        self.sum = 0

    def run(self, number, lock):
        """Does a slice; the nanoseconds it took."""
        begin = time.perf_counter_ns()
        n = self.order.hard[number % len(self.order.hard)]
        answer = work.divide(n, self.order.divisions // self.order.slices)
        with lock:
            entry = work.divide(n ^ answer, self.order.divisions // self.order.entries)
            self.slices += 1
            self.sum = (self.sum + (answer ^ entry)) & work.MASK
        return time.perf_counter_ns() - begin

    def found(self, times):
        return {"results": [(took, 0) for took in times], "ledger": (self.slices, self.sum)}


def shares(order):
    """The numbers of the slices of each worker."""
    workers = min(order.load, order.count)
    return [range(first, order.count, workers) for first in range(workers)]
