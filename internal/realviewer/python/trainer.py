"""Keeps runs alive, and executes commands from standard input until it ends.

Usage: trainer.py VERSION SECONDS. It opens two runs: "live", to which a thread
logs a point every SECONDS, and "held", to which only commands log. Commands are
JSON objects, one per line, each answered by one line. The process then dies
without finishing its runs, as a killed training does.
"""

import json
import os
import sys
import threading

import sdk

RUNS = {}
STOP = threading.Event()


def tick(run, seconds):
    step = 0
    while not STOP.wait(seconds):
        step += 1
        cells = {"loss": 1 / step, "accuracy": 1 - 1 / step}
        if step % 5 == 0:
            cells["val/loss"] = 2 / step
        if step % 7 == 0:
            cells["loss"] = float("nan")
        run.log(cells, step=step, stage="train")


def open_run(key, run_id=None, **where):
    RUNS[key] = run = sdk.open_run(where.pop("project", "live"), where.pop("name", key), run_id=run_id, **where)
    return sdk.describe(run, "running")


def obey(command):
    name, key = command["do"], command["key"]
    if name == "open":
        return open_run(key, **command.get("where", {}))
    run = RUNS[key]
    if name == "log":
        run.log(command["cells"], step=command.get("step"))
    elif name == "text":
        run.log_text(command["text"])
    elif name == "finish":
        run.finish(command["status"])
    else:
        raise ValueError(f"unknown command {name!r}")
    return sdk.describe(run, "")


def main():
    live, held = open_run("live"), open_run("held")
    sdk.say({"runs": {"live": live, "held": held}})
    threading.Thread(target=tick, args=(RUNS["live"], float(sys.argv[2])), daemon=True).start()
    for line in sys.stdin:
        try:
            sdk.say({"run": obey(json.loads(line))})
        except Exception as error:
            sdk.say({"error": f"{type(error).__name__}: {error}"})
    os._exit(0)


main()
