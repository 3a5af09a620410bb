"""Tails a run into a pandas table and plots it; small enough for a notebook cell.

Usage: notebook.py ADDRESS RUN PICTURE.png [POINTS]. It ends with the run, or after
that number of points.
"""

import sys

import matplotlib

matplotlib.use("Agg")  # not needed in a notebook

import matplotlib.pyplot as plt
import pandas as pd

from contract import metric_pb2
from tail import follow

address, run, picture = sys.argv[1:4]
enough = int(sys.argv[4]) if len(sys.argv) > 4 else None

columns = {"metric": [], "step": [], "time": [], "value": []}
for message in follow(address, run):
    if message.HasField("log_reset"):
        for column in columns.values():
            column.clear()
    for series in message.batch.series:
        if series.kind != metric_pb2.METRIC_KIND_NUMBER:
            continue
        columns["metric"] += [series.metric_name] * len(series.steps)
        columns["step"] += series.steps
        columns["time"] += series.times
        columns["value"] += series.values
    if enough and len(columns["step"]) >= enough:
        break

points = pd.DataFrame(columns)
points["time"] = pd.to_datetime(points["time"], unit="s", utc=True)
print(points.groupby("metric")["value"].describe())

# One value per step: the last one written. NaN and ±Inf are gaps in the lines.
table = points.drop_duplicates(["metric", "step"], keep="last").pivot(index="step", columns="metric", values="value")
table.plot(subplots=True, figsize=(8, 2 * len(table.columns)), title=run)
plt.tight_layout()
plt.savefig(picture)
