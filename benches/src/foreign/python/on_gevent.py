"""python-gevent: greenlets. What blocks in Python's own modules is patched to let others run, so
that the work is written as for threads. It has no files: the threads of its hub copy them.
"""

from gevent import monkey

monkey.patch_all()

from functools import partial  # noqa: E402

import gevent  # noqa: E402
from gevent.event import Event  # noqa: E402
from gevent.pool import Pool  # noqa: E402
from gevent.server import StreamServer  # noqa: E402

import sockets  # noqa: E402
import work  # noqa: E402

REMARKS = [f"gevent {gevent.__version__}"]
load = work.load


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
