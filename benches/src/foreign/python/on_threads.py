"""python-threads: a ThreadPoolExecutor for jobs, a thread per connection for servers."""

import socket
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event, Lock, Thread

import handover
import measure
import slices
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


def thrash(order, stage):
    ledger, lock, times = slices.Ledger(order), Lock(), []

    def work_off(share):
        times.extend([ledger.run(number, lock) for number in share])

    threads = [Thread(target=work_off, args=(share,)) for share in slices.shares(order)]
    for thread in threads:
        thread.start()
    stage.look()
    for thread in threads:
        thread.join()
    stage.last()
    return ledger.found(times)


def switches(order, stage):
    there, back = SimpleQueue(), SimpleQueue()
    other = Thread(target=handover.second, args=(order.rounds, back.put, there.get))
    other.start()
    stage.look()
    laps = handover.first(order.rounds, there.put, back.get)
    other.join()
    stage.last()
    return {"laps": laps}


def memory(order, stage):
    gate, threads, looks = Event(), [], []
    for count in order.units:
        while len(threads) < count:
            threads.append(Thread(target=gate.wait))
            threads[-1].start()
        looks.append(measure.pages())
    stage.last()
    gate.set()
    for thread in threads:
        thread.join()
    return {"unit_bytes": measure.growth(looks, order.units)}
