"""python-asyncio: coroutines on asyncio's own loop. It has no files: threads copy them. It has no
HTTP either: the few lines of it are written by hand.
"""

import asyncio
import time
import zlib

import handover
import measure
import schedule
import slices
import work

REMARKS = []

# Far longer than anything here takes.
LONG = 3600


def load(_order):
    """It has all it needs."""


def do(order, stage):
    async def all_of_them():
        results = await asyncio.gather(*jobs(order))
        stage.last()
        return results

    return asyncio.run(all_of_them())


def jobs(order):
    """The jobs as coroutines."""
    if order.workload == "primes":
        # There is nothing to wait for in it: the loop stands still.
        return [timed(computed(n)) for n in order.numbers]
    if order.workload == "sleepers":
        return [timed(asyncio.sleep(order.nap)) for _ in range(order.count)]
    if order.workload == "downloads":
        return [timed(download(*place)) for place in work.places(order)]
    limit = asyncio.Semaphore(order.lanes)
    copies = (asyncio.to_thread(work.copy, order.piece, *paths) for paths in work.files(order))
    return [timed_within(limit, copy) for copy in copies]


async def computed(n):
    return work.is_prime(n)


async def download(server, number):
    reader, writer = await asyncio.open_connection(*server.split(":"))
    head = f"GET /{number} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    status = await reader.readline()
    assert status.startswith(b"HTTP/1.1 200 "), status
    await reader.readuntil(b"\r\n\r\n")
    body = await reader.read()
    writer.close()
    return zlib.crc32(body)


async def timed(job):
    begin = time.perf_counter_ns()
    answer = await job
    return time.perf_counter_ns() - begin, answer


async def timed_within(limit, job):
    async with limit:
        return await timed(job)


def serve(order, stage):
    async def divide(n):
        return work.divide(n, order.divisions)

    asyncio.run(serving(order, stage, divide))


async def serving(order, stage, divide):
    """Serves as many connections as will come; `divide` does the CPU part of a request."""
    left = order.connections
    over = asyncio.get_running_loop().create_future()

    async def serve_one(reader, writer):
        nonlocal left
        try:
            if order.workload == "echo":
                await echo(reader, writer)
            elif order.workload == "kv":
                await kv(store, reader, writer)
            else:
                await mixed(order, reader, writer, divide)
            writer.close()
        except Exception as error:
            if not over.done():
                over.set_exception(error)
        left -= 1
        if left == 0 and not over.done():
            over.set_result(None)

    store = {}
    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, backlog=4096)
    work.announce(server.sockets[0].getsockname())
    try:
        await over
    finally:
        server.close()
    stage.look()


async def echo(reader, writer):
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()


async def kv(store, reader, writer):
    while request := await whole(reader):
        writer.write(work.act(store, request))
        await writer.drain()


async def mixed(order, reader, writer, divide):
    while request := await whole(reader):
        await asyncio.sleep(order.backend)
        writer.write(work.reply(request, await divide(work.number(request))))
        await writer.drain()


async def whole(reader):
    """The next request; nothing when the client is done."""
    try:
        return await reader.readexactly(work.MESSAGE)
    except asyncio.IncompleteReadError as error:
        assert not error.partial, "a client closed within a request"
        return b""


def thrash(order, stage):
    """Tasks need no lock: between two awaits nobody else runs."""
    ledger, times = slices.Ledger(order), []

    async def work_off(share):
        for number in share:
            times.append(ledger.run(number, slices.NO_LOCK))
            await asyncio.sleep(0)

    async def all_of_them():
        await asyncio.gather(*map(work_off, slices.shares(order)))

    asyncio.run(all_of_them())
    stage.last()
    return ledger.found(times)


def switches(order, stage):
    async def second(there, back):
        for _ in range(order.rounds):
            back.put_nowait(await there.get())

    async def first():
        there, back, found = asyncio.Queue(), asyncio.Queue(), []
        other = asyncio.create_task(second(there, back))
        for begin, count in handover.laps(order.rounds):
            start = time.perf_counter_ns()
            for number in range(begin, begin + count):
                there.put_nowait(number)
                assert await back.get() == number, "a hand-over was lost"
            found.append((count, time.perf_counter_ns() - start))
        await other
        return found

    laps = asyncio.run(first())
    stage.last()
    return {"laps": laps}


def memory(order, stage):
    async def grow():
        tasks, looks = [], []
        for count in order.units:
            while len(tasks) < count:
                tasks.append(asyncio.create_task(asyncio.sleep(LONG)))
            # All have their first step.
            await asyncio.sleep(0)
            looks.append(measure.pages())
        stage.last()
        return looks

    return {"unit_bytes": measure.growth(asyncio.run(grow()), order.units)}


def million(order, stage):
    async def sleeper(night, moment):
        night.asleep += 1
        await asyncio.sleep(moment - night.clock())
        night.woken(moment)

    async def attempt(number):
        night = schedule.Night(order, asyncio.get_running_loop().time, number)
        tasks = [asyncio.create_task(sleeper(night, moment)) for moment in night.moments]
        while night.asleep < order.count:
            await asyncio.sleep(0)
        good = night.all_asleep()
        await asyncio.gather(*tasks)
        return night if good else None

    for number in range(schedule.TRIES):
        night = asyncio.run(attempt(number))
        if night:
            stage.last()
            return night.found()
    raise RuntimeError("they never slept all at once: making them takes too long here")
