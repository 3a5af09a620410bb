"""The differences between the SDKs of the releases."""

import json
import os
import sys
import time

import runicorn

VERSION = sys.argv[1]
GENERATION = VERSION.rpartition(".")[0]
HAS_PATHS = GENERATION != "0.5"
HAS_ASSETS = HAS_PATHS
HAS_ARTIFACTS = GENERATION == "0.5"


def hurry():
    """Removes the SDK's delays: finish() sleeps and flushes all disks."""
    time.sleep = lambda seconds: None
    os.sync = lambda: None


def open_run(project, name, path=None, alias=None, run_id=None, **extra):
    """Starts a run, or reopens the one with that id."""
    if HAS_PATHS:
        return runicorn.init(path=path or f"{project}/{name}", alias=alias, run_id=run_id, **extra)
    return runicorn.init(project=project, name=name, run_id=run_id, capture_env=False)


def describe(run, status, tags=()):
    """Returns a run's entry of the manifest."""
    return {
        "run_id": run.id,
        "project": getattr(run, "project", None) or "",
        "name": getattr(run, "name", None) or "",
        "path": getattr(run, "path", None) or "",
        "alias": getattr(run, "alias", None) or "",
        "tags": list(tags),
        "status": status,
        "dir": str(run.run_dir),
        "event_file": str(run.run_dir / "events.jsonl"),
    }


def set_tags(run, tags):
    """Stores tags like the Viewer's PATCH; no SDK can set them."""
    meta_path = run.run_dir / "meta.json"
    meta = json.loads(meta_path.read_text(encoding="utf-8"))
    meta["tags"] = list(tags)
    meta_path.write_text(json.dumps(meta, ensure_ascii=False, indent=2), encoding="utf-8")


def say(answer):
    """Writes one line for the Go side."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
