"""Servers whose connections block: a thread, or a greenlet where gevent has patched all this."""

import socket
import time

import work


def server(order):
    """What serves a connection until the client closes it."""
    if order.workload == "echo":
        serve = echo
    elif order.workload == "mixed":
        serve = lambda stream: mixed(order, stream)  # noqa: E731
    else:
        store = {}
        serve = lambda stream: kv(store, stream)  # noqa: E731

    def serve_one(stream):
        with stream:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            serve(stream)

    return serve_one


def echo(stream):
    while data := stream.recv(4096):
        stream.sendall(data)


def mixed(order, stream):
    while request := whole(stream):
        time.sleep(order.backend)
        rests = work.divide(work.number(request), order.divisions)
        stream.sendall(work.reply(request, rests))


def kv(store, stream):
    while request := whole(stream):
        stream.sendall(work.act(store, request))


def whole(stream):
    """The next request; nothing when the client is done."""
    request = b""
    while len(request) < work.MESSAGE:
        data = stream.recv(work.MESSAGE - len(request))
        if not data:
            assert not request, "a client closed within a request"
            break
        request += data
    return request
