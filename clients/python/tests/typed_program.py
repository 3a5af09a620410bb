"""A user's program, which mypy --strict and pyright strict must accept."""

import asyncio
import datetime as dt

from runicorn_grpc import (AsyncClient, CaughtUp, Client, End, HostKeyError, LogReset, Point, Points, RunicornError, Series, StatusChange,
                           quote)
from runicorn_grpc.types import Experiment, ExperimentStatus


def newest(client: Client, status: ExperimentStatus = "running") -> Experiment | None:
    for experiment in client.experiments(f"name = {quote('a b')}", project="vision", status=status, metric_names="*", limit=1):
        created: dt.datetime | None = experiment.create_time
        print(created, experiment.status == "running", experiment.tags, [m.metric_name for m in experiment.metrics])
        return experiment
    return None


def values(client: Client, run: str) -> list[float]:
    history = client.history(run, ["loss"], max_points=100)
    series: Series = history["loss"]
    return [float(value) for value in series.values]


def follow(client: Client, run: Experiment) -> str:
    with client.tail(run, heartbeat=5) as tail:
        for event in tail:
            if isinstance(event, Points):
                for point in event:
                    print(point.metric, point.step, point.value)
            elif isinstance(event, StatusChange):
                print(event.status, event.viewer_status)
            elif isinstance(event, LogReset):
                print(event.reason)
            elif isinstance(event, End):
                print(event.reason)
            else:
                caught: CaughtUp = event
                print(caught.run_id)
        return tail.token


def points(client: Client) -> list[Point]:
    return [point for point in client.tail(filter="run_id:*", viewer="-").points()]


def connect(client: Client) -> None:
    try:
        client.connect_remote("gpu", "me", password="secret")
    except HostKeyError as error:
        print(error.fingerprint, error.reason, error.metadata, error.retry_after)
    except RunicornError as error:
        print(error.code)


async def main() -> None:
    async with AsyncClient("127.0.0.1:23310", token="secret") as client:
        names: list[str] = [e.name async for e in client.experiments(viewer="-")]
        best = await client.best("loss", goal="minimize")
        if best.experiment is not None and best.value is not None:
            print(names, best.experiment.run_id, best.value + 1.0)
        async with client.tail("run") as tail:
            async for point in tail.points():
                print(point.value)
        async for line in client.logs("run", last_lines=10).lines():
            print(line.text)
        async for change in client.watch(status="running"):
            print(change.kind, change.experiment)
        saved = await client.export("run", "run.csv", "csv", progress=lambda done, total: print(done, total))
        print(saved.sha256, saved.path)


if __name__ == "__main__":
    asyncio.run(main())
