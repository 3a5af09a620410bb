"""Fills $RUNICORN_DIR with the release's own SDK and prints a manifest.

Usage: seed.py VERSION WORKSPACE. The workspace is a scratch directory.
"""

import json
import os
import sys

import assets
import runs
import sdk


def crash():
    """Kills a process in the middle of a run, which only a Viewer detects."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        run = sdk.open_run("faults", "crashed")
        run.log({"loss": 0.5}, step=1)
        os.write(writer, json.dumps(sdk.describe(run, "running")).encode())
        os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        entry = json.load(pipe)
    os.waitpid(child, 0)
    return entry


def reopen():
    """Continues a finished run: steps go back, and it ends a second time.

    Last of all: in 0.7.2 the second start fails on the run's own database row,
    and the run continues in files only.
    """
    run = sdk.open_run("curves", "reopened")
    for step in range(1, 11):
        run.log({"loss": 1 / step}, step=step)
    run.finish()
    run = sdk.open_run("curves", "reopened", run_id=run.id)
    for step in range(8, 16):
        run.log({"loss": 2 / step, "resumed": True}, step=step)
    run.finish()
    return sdk.describe(run, "finished")


def main():
    sdk.hurry()
    manifest = {"crashed": crash()}
    for key, script in runs.SCRIPTS.items():
        if sdk.GENERATION in script.generations:
            manifest[key] = script.play()
    manifest.update(assets.seed(sys.argv[2]))
    manifest["reopened"] = reopen()
    sdk.say({"runs": manifest})


main()
