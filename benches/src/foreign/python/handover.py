"""Two that wake each other, again and again (switches)."""

import time

# Hand-overs between two looks at the clock, there and back.
BATCH = 128


def laps(rounds):
    """Batches of rounds: the first number of each, and how many they are."""
    for first in range(0, rounds, BATCH):
        yield first, min(BATCH, rounds - first)


def first(rounds, put, get):
    """Hands over and waits; how many rounds took how many nanoseconds."""
    found = []
    for begin, count in laps(rounds):
        start = time.perf_counter_ns()
        for number in range(begin, begin + count):
            put(number)
            assert get() == number, "a hand-over was lost"
        found.append((count, time.perf_counter_ns() - start))
    return found


def second(rounds, put, get):
    for _ in range(rounds):
        put(get())
