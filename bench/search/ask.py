"""Ranks the runs of a Viewer by their best val/acc, as a user does without the server."""

import json
import sys
import urllib.request

base = sys.argv[1]


def get(path):
    with urllib.request.urlopen(base + path) as answer:
        return json.load(answer)


best = []
for run in get("/api/runs"):
    rows = get(f"/api/runs/{run['id']}/metrics_step")["rows"]
    values = [row["val/acc"] for row in rows if row.get("val/acc") is not None]
    if values:
        best.append((max(values), run["id"]))
best.sort(reverse=True)
print(best[:20])
