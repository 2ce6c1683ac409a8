"""A model of `workload` in Python: `main.py job` or `main.py serve`.

The first line of stdin says what to do, as JSON. A server prints `listening ADDRESS`. The last line
of stdout says what was found; results are checked by who reads it.
"""

import importlib
import json
import os
import platform
import resource
import signal
import sys
from types import SimpleNamespace

import measure

OLDEST = (3, 9)

MODELS = {
    "python-threads": "on_threads",
    "python-processes": "on_processes",
    "python-asyncio": "on_asyncio",
    "python-gevent": "on_gevent",
}

# Work that each model has a function for: what concurrency itself costs.
COSTS = ("thrash", "switches", "memory", "million")


def main():
    order = SimpleNamespace(**json.loads(sys.stdin.readline()))
    # Whatever happens, it ends.
    signal.alarm(order.life)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if sys.version_info < OLDEST:
        return say("refused", f"{sys.executable} is {platform.python_version()}, older than 3.9")
    measure.confine(order.cores)
    try:
        # Loading what a model needs is no part of the work.
        model = importlib.import_module(MODELS[order.model])
        model.load(order)
    except ModuleNotFoundError as error:
        return say("refused", f"{os.path.basename(sys.executable)} has no {error.name}")
    stage = measure.Stage(with_children=order.model == "python-processes")
    if sys.argv[1] == "serve":
        model.serve(order, stage)
        found = {}
    elif order.workload in COSTS:
        found = getattr(model, order.workload)(order, stage)
    else:
        found = measure.answers(model.do(order, stage))
    say("found", stage.finding(found, model.REMARKS))


def say(word, what):
    print(json.dumps({word: what}), flush=True)


if __name__ == "__main__":
    main()
