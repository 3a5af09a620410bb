"""A user's program without error handling: it prints what a run logs until the run
ends. exact_test.go injects faults, and compares the output with the files."""

import asyncio
import json
import math
import sys

import runicorn_grpc as r


def show(item):
    value = item.text if isinstance(item, r.LogLine) else item.value
    if isinstance(value, float) and not math.isfinite(value):
        value = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    print(json.dumps({"value": value} if isinstance(item, r.LogLine) else {"metric": item.metric, "step": item.step, "value": value}), flush=True)


async def main(address, run):
    async with r.AsyncClient(address) as client:
        async for point in client.tail(run, heartbeat=1).points():
            show(point)


if __name__ == "__main__":
    kind, address, run = sys.argv[1:]
    if kind == "asyncio":
        asyncio.run(main(address, run))
    elif kind == "logs":
        for line in r.Client(address).logs(run, heartbeat=1).lines():
            show(line)
    else:
        for point in r.Client(address).tail(run, heartbeat=1).points():
            show(point)
