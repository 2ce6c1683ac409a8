"""python-threads: a ThreadPoolExecutor for jobs, a thread per connection for servers."""

import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import sockets
import work

REMARKS = []
load = work.load


def do(order, stage):
    with ThreadPoolExecutor(max_workers=order.threads) as pool:
        results = list(pool.map(work.timed, work.jobs(order)))
        stage.last()
    return results


def serve(order, stage):
    serve_one = sockets.server(order)
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        work.announce(listener.getsockname())
        threads = []
        for _ in range(order.connections):
            stream, _ = listener.accept()
            threads.append(Thread(target=serve_one, args=(stream,)))
            threads[-1].start()
        stage.look()
        for thread in threads:
            thread.join()
