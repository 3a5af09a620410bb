"""Ranks the runs of a Viewer by their maximum val/acc, over the Viewer's REST API.

Usage: rank.py URL [COUNT]. COUNT limits the number of runs that are read.
"""

import json
import sys
import urllib.request

base = sys.argv[1]


def get(path):
    with urllib.request.urlopen(base + path) as response:
        return json.load(response)


best = []
runs = get("/api/runs")
for run in runs[: int(sys.argv[2]) if len(sys.argv) > 2 else None]:
    rows = get(f"/api/runs/{run['id']}/metrics_step")["rows"]
    values = [row["val/acc"] for row in rows if row.get("val/acc") is not None]
    if values:
        best.append((max(values), run["id"]))
best.sort(reverse=True)
print(best[:20])
