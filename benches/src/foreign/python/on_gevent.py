"""python-gevent: greenlets. What blocks in Python's own modules is patched to let others run, so
that the work is written as for threads. It has no files: the threads of its hub copy them.
"""

from gevent import monkey

monkey.patch_all()

import time  # noqa: E402
from functools import partial  # noqa: E402

import gevent  # noqa: E402
from gevent.event import Event  # noqa: E402
from gevent.pool import Pool  # noqa: E402
from gevent.queue import SimpleQueue  # noqa: E402
from gevent.server import StreamServer  # noqa: E402

import handover  # noqa: E402
import measure  # noqa: E402
import schedule  # noqa: E402
import slices  # noqa: E402
import sockets  # noqa: E402
import work  # noqa: E402

REMARKS = [f"gevent {gevent.__version__}"]
load = work.load

# Far longer than anything here takes.
LONG = 3600


def do(order, stage):
    pool = Pool(order.lanes)
    results = pool.map(work.timed, jobs(order))
    stage.last()
    return results


def jobs(order):
    """The jobs, each a call that lets other greenlets run while it waits."""
    if order.workload == "copy":
        threads = gevent.get_hub().threadpool
        return [partial(threads.apply, job) for job in work.jobs(order)]
    return work.jobs(order)


def serve(order, stage):
    serve_one = sockets.server(order)
    left = order.connections
    over = Event()

    def handle(stream, _address):
        nonlocal left
        serve_one(stream)
        left -= 1
        if left == 0:
            over.set()

    server = StreamServer(("127.0.0.1", 0), handle, backlog=4096)
    server.start()
    work.announce(server.address)
    over.wait()
    stage.look()
    server.stop()


def thrash(order, stage):
    """Greenlets need no lock where none of them waits."""
    ledger, times = slices.Ledger(order), []

    def work_off(share):
        for number in share:
            times.append(ledger.run(number, slices.NO_LOCK))
            gevent.sleep(0)

    gevent.joinall([gevent.spawn(work_off, share) for share in slices.shares(order)])
    stage.last()
    return ledger.found(times)


def switches(order, stage):
    there, back = SimpleQueue(), SimpleQueue()
    other = gevent.spawn(handover.second, order.rounds, back.put, there.get)
    laps = handover.first(order.rounds, there.put, back.get)
    other.join()
    stage.last()
    return {"laps": laps}


def memory(order, stage):
    greenlets, looks = [], []
    for count in order.units:
        while len(greenlets) < count:
            greenlets.append(gevent.spawn(gevent.sleep, LONG))
        # All have their first step.
        gevent.sleep(0)
        looks.append(measure.pages())
    stage.last()
    return {"unit_bytes": measure.growth(looks, order.units)}


def million(order, stage):
    def sleeper(night, moment):
        night.asleep += 1
        gevent.sleep(moment - night.clock())
        night.woken(moment)

    for attempt in range(schedule.TRIES):
        night = schedule.Night(order, time.monotonic, attempt)
        greenlets = [gevent.spawn(sleeper, night, moment) for moment in night.moments]
        while night.asleep < order.count:
            gevent.sleep(0)
        good = night.all_asleep()
        gevent.joinall(greenlets)
        if good:
            stage.last()
            return night.found()
    raise RuntimeError("they never slept all at once: making them takes too long here")
