"""python-processes: a ProcessPoolExecutor. A server is an asyncio loop that computes in it."""

import asyncio
import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor

import measure
import on_asyncio
import work

REMARKS = ["its workers are forked"]


def executor(order):
    # Forked, so that they are our children whatever the version: their cost is counted as ours.
    # Each ends by itself, should we be killed.
    return ProcessPoolExecutor(
        max_workers=len(order.cores),
        mp_context=multiprocessing.get_context("fork"),
        initializer=signal.alarm,
        initargs=(order.life,),
    )

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
