"""Programs for real_test.go, in front of real Viewers: real.py COMMAND ADDRESS …"""

import json
import sys

import runicorn_grpc as r
from exact import show


def history(client, run):
    """Prints all points, and checks that a table has the last point of each step."""
    read = client.history(run).load()
    for series in read:
        for point in series:
            show(point)
    frame = read.to_pandas()
    if not frame.equals(client.history(run).to_pandas()):
        raise RuntimeError(f"the table that came as Arrow is another one:\n{client.history(run).to_pandas()}\n{frame}")


def export(client, run, path):
    print(json.dumps({"sha256": client.export(run, path, "parquet").sha256}))


def download(client, run, path):
    asset = next(a for a in client.assets(run, type="run_file") if a.name == "events.jsonl")
    print(json.dumps({"sha256": client.download(run, asset, path).sha256}))


def lists(client, *_):
    """Calls the methods that read, and prints what the Viewer does not support."""
    lacking = []
    run = client.experiments(limit=1).to_list()[0]
    calls = {
        "projects": lambda: client.projects().to_list(), "deleted": lambda: client.deleted().to_list(), "metrics": lambda: client.metrics(run).to_list(),
        "environment": lambda: client.environment(run), "artifacts": lambda: client.artifacts().to_list(), "assets": lambda: client.assets(run).to_list(),
        "images": lambda: client.images(run).to_list(), "experiment_artifacts": lambda: client.experiment_artifacts(run).to_list(),
        "viewers": lambda: client.viewers().to_list(), "config": client.config, "gpu": client.gpu, "storage_stats": client.storage_stats,
        "remote_status": client.remote_status, "host_keys": lambda: client.host_keys().to_list(), "connections": lambda: client.connections().to_list(),
        "saved_connections": lambda: client.saved_connections().to_list(), "viewer_sessions": lambda: client.viewer_sessions().to_list(),
        "check_statuses": client.check_statuses, "full": lambda: client.experiment(run), "table": lambda: client.experiments(view="full").to_pandas(),
        "best": lambda: client.best("loss"), "compare": lambda: client.compare(client.experiments(limit=3), ["loss"]),
    }
    for name, call in calls.items():
        try:
            call()
        except r.UnsupportedError:
            lacking.append(name)
    print(json.dumps({"lacking": lacking}))


def ssh(client, port, user, password):
    """Connects to an SSH server, whose key is unknown to Viewers that check it."""
    try:
        client.connect_remote("127.0.0.1", user, port=int(port), password=password)
        known = True
    except r.HostKeyError as error:
        known = False
        if not error.fingerprint.startswith("SHA256:") or error.reason != "HOST_KEY_UNKNOWN":
            raise
        client.accept_host_key(error.host_key)
    connected = client.connect_remote("127.0.0.1", user, port=int(port), password=password).connection
    client.close_remote(connected.connection_id)
    print(json.dumps({"known": known}))


if __name__ == "__main__":
    command, address, *arguments = sys.argv[1:]
    with r.Client(address) as client:
        globals()[command](client, *arguments)
