"""python-processes: a ProcessPoolExecutor. A server is an asyncio loop that computes in it."""

import asyncio
import multiprocessing
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack

import handover
import measure
import on_asyncio
import work

REMARKS = ["its workers are forked"]


def executor(order, workers=None):
    # Forked, so that they are our children whatever the version: their cost is counted as ours.
    # Each ends by itself, should we be killed.
    return ProcessPoolExecutor(
        max_workers=workers or len(order.cores),
        mp_context=FORK,
        initializer=signal.alarm,
        initargs=(order.life,),
    )

FORK = multiprocessing.get_context("fork")
load = work.load


def do(order, stage):
    with executor(order) as pool:
        results = list(pool.map(work.timed, work.jobs(order)))
        stage.last()
    return results


def serve(order, stage):
    with executor(order) as pool:
        # All workers are started, and keep all cores, before the loop is pinned to one.
        list(pool.map(abs, range(len(order.cores))))
        measure.confine(order.cores[:1])

        async def divide(n):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(pool, work.divide, n, order.divisions)

        asyncio.run(on_asyncio.serving(order, stage, divide))


def switches(order, stage):
    """Two processes that talk through a pipe each way."""
    ours, theirs = FORK.Pipe()
    other = FORK.Process(target=handover.second, args=(order.rounds, theirs.send, theirs.recv))
    other.start()
    stage.look()
    laps = handover.first(order.rounds, ours.send, ours.recv)
    other.join()
    stage.last()
    return {"laps": laps}


def memory(order, stage):
    first, all_of_them = order.units
    looks = []
    with ExitStack() as pools:
        for count in (first, all_of_them - first):
            pool = pools.enter_context(executor(order, count))
            # As long as all of them are at work, none takes a second.
            list(pool.map(time.sleep, [0.05] * count))
            looks.append(measure.pages())
        stage.last()
    return {"unit_bytes": measure.growth(looks, order.units)}
