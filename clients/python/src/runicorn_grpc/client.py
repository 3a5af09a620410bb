"""The client: AsyncClient; Client is derived from it as its blocking version."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

from . import _contract, _files, _history, _tail
from ._compare import Comparison
from ._filter import join
from ._pages import AsyncPages, call
from ._series import Progress
from ._transport import AsyncTransport, BlockingTransport, Settings, Transport

if TYPE_CHECKING:
    from typing_extensions import Self

    from . import types as t

    Run: TypeAlias = str | t.Experiment  # an id, a resource name, or the experiment

UNCHANGED: Any = type("Unchanged", (), {"__repr__": lambda self: "UNCHANGED"})()
Names = Union[str, Sequence[str], None]


def _id(run: Any) -> str:
    return run if isinstance(run, str) else str(run.resource_name)


def _ids(runs: Any) -> list[str]:
    return [_id(run) for run in ([runs] if isinstance(runs, (str, _contract.Record)) else runs)]


def _names(names: Any) -> Any:
    return [names] if isinstance(names, str) else names


class AsyncClient:
    """A client of a runicorn-grpc server.

    address: host:port; by default $RUNICORN_GRPC_ADDRESS or 127.0.0.1:23310.
    token: for servers that require one; by default $RUNICORN_GRPC_TOKEN.
    tls: by default on for https:// addresses, with ca_file, and if a token would
        leave this machine.
    ca_file: PEM file of the authorities to trust instead of the system's.
    timeout: of unary calls, in seconds. Streams have no timeout.
    retries: maximum number of consecutive retries of a read. Changes are never
        sent twice.

    The first call opens the connection. Each process, and with AsyncClient each
    event loop, has its own connection. A run is given by its id, its resource
    name, or as an Experiment. viewer "" is the server's first Viewer, "-" in lists
    and searches is all of them.

    All methods raise RunicornError and its subclasses; see `errors`.

    >>> with Client() as client:  # doctest: +SKIP
    ...     client.experiments(status="running").to_pandas()
    """

    _transport: Transport

    def __init__(self, address: str | None = None, token: str | None = None, tls: bool | None = None, *,
                 ca_file: str | None = None, timeout: float = 150.0, retries: int = 3) -> None:
        settings = Settings(address, token, tls, ca_file, timeout, retries)
        self._transport = AsyncTransport(settings) if isinstance(self, AsyncClient) else BlockingTransport(settings)

    async def close(self) -> None:
        """Closes the connection. Open streams end with an error."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._transport.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport.settings!r})"

    async def _call(self, rpc: str, **fields: Any) -> Any:
        return _contract.wrap(await call(self._transport, rpc, fields))

    def _pages(self, rpc: str, items: str, limit: int | None = None, **fields: Any) -> Any:
        return self._transport.twin_of(AsyncPages)(self._transport, rpc, items, limit, fields)

    # Experiments.

    def experiments(self, filter: str = "", *, project: str | None = None, name: str | None = None, status: str | None = None,
                    metric_names: Names = None, order_by: str = "", view: t.ExperimentView | None = None, limit: int | None = None,
                    allow_partial: bool = False, viewer: str = "") -> AsyncPages[t.Experiment]:
        """Lists experiments, newest first unless order_by is given.

        filter is AIP-160, such as 'path:"vision" AND summary.acc > 0.9'; project,
        name and status are quoted and added to it with AND. metric_names ("*":
        all) adds `metrics` to each: count, last, minimum, maximum. view "full"
        adds summary, metadata, start and end. Raises BadRequestError with the
        position of a mistake in the filter.

        >>> for e in client.experiments(project="vision", status="running"):  # doctest: +SKIP
        ...     print(e.run_id, e.path, e.best_metric)
        """
        return self._pages(
            "ListExperiments", "experiments", limit, filter=join(filter, project=project, name=name, status=status), viewer=viewer,
            metric_names=_names(metric_names), order_by=order_by, view=view, allow_partial=allow_partial)

    async def experiment(self, run: Run, *, view: t.ExperimentView | None = None, viewer: str = "") -> t.Experiment:
        """Gets one experiment, in full unless view is "basic". Raises NotFoundError.

        >>> client.experiment("20250124_120000_abc123").summary["accuracy"]  # doctest: +SKIP
        0.93
        """
        return (await self._call("GetExperiment", run_id=_id(run), view=view, viewer=viewer)).experiment

    def projects(self, *, limit: int | None = None, viewer: str = "") -> AsyncPages[t.Project]:
        """Lists projects with the number of their experiments.

        >>> client.projects(viewer="-").to_pandas()  # doctest: +SKIP
        """
        return self._pages("ListProjects", "projects", limit, viewer=viewer)

    async def update(self, run: Run, *, alias: str | None = UNCHANGED, tags: Sequence[str] = UNCHANGED, path: str = UNCHANGED,
                     etag: str = "", viewer: str = "") -> t.Experiment:
        """Changes alias (None removes it), tags (replaces all) or path (moves the
        experiment; 0.7), and returns the experiment. If etag is given and the
        experiment has changed since it was read, raises ConflictError.

        >>> client.update(run_id, tags=["prod"], alias="best")  # doctest: +SKIP
        """
        new = {k: v for k, v in {"alias": alias, "tags": tags, "path": path}.items() if v is not UNCHANGED}
        if not new:
            raise ValueError("nothing to change: give alias, tags or path")
        experiment = {"run_id": _id(run), "viewer": viewer, "etag": etag} | new
        return (await self._call("UpdateExperiment", experiment=experiment, update_mask=list(new))).experiment

    async def delete(self, runs: Run | Sequence[Run], *, viewer: str = "") -> list[t.ExperimentResult]:
        """Moves experiments to the recycle bin; returns a result for each, with
        `error` if it was not moved.

        >>> client.delete([run_id])[0].error is None  # doctest: +SKIP
        True
        """
        return (await self._call("DeleteExperiments", run_ids=_ids(runs), viewer=viewer)).results

    def deleted(self, *, limit: int | None = None, viewer: str = "") -> AsyncPages[t.DeletedExperiment]:
        """Lists the recycle bin, newest deletion first.

        >>> [d.experiment.run_id for d in client.deleted()]  # doctest: +SKIP
        """
        return self._pages("ListDeletedExperiments", "deleted_experiments", limit, viewer=viewer)

    async def restore(self, runs: Run | Sequence[Run], *, viewer: str = "") -> list[t.ExperimentResult]:
        """Restores experiments from the recycle bin; results: see delete.

        >>> client.restore(run_id)  # doctest: +SKIP
        """
        return (await self._call("RestoreExperiments", run_ids=_ids(runs), viewer=viewer)).results

    async def purge(self, runs: Run | Sequence[Run] = (), *, all_deleted: bool = False, validate_only: bool = False,
                    viewer: str = "") -> list[t.ExperimentResult]:
        """Removes experiments, or the whole content of the recycle bin, permanently;
        results have freed_bytes. validate_only removes nothing, and returns what
        would be removed.

        >>> client.purge(all_deleted=True, validate_only=True)  # doctest: +SKIP
        """
        return (await self._call("PurgeExperiments", run_ids=_ids(runs), all_deleted=all_deleted, validate_only=validate_only, viewer=viewer)).results

    async def environment(self, run: Run, *, viewer: str = "") -> t.GetEnvironmentResponse:
        """Gets the captured software and hardware environment of a run.

        >>> client.environment(run_id).environment["python_version"]  # doctest: +SKIP
        """
        return await self._call("GetEnvironment", run_id=_id(run), viewer=viewer)

    def watch(self, filter: str = "", *, project: str | None = None, name: str | None = None, status: str | None = None,
              metric_names: Names = None, heartbeat: float = _tail.HEARTBEAT, give_up_after: int | None = None,
              viewer: str = "") -> _tail.AsyncWatch:
        """Watches the experiments that match: an endless iterator of changes, each
        once, also across restarts of the server.

        give_up_after: see tail.

        >>> for change in client.watch(status="running"):  # doctest: +SKIP
        ...     print(change.kind, change.experiment)
        """
        fields = {"filter": join(filter, project=project, name=name, status=status), "metric_names": _names(metric_names),
                  "heartbeat_interval": heartbeat, "viewer": viewer}
        return self._transport.twin_of(_tail.AsyncWatch)(self._transport, fields, give_up_after)

    def logs(self, run: Run, *, start: t.TailStart | None = None, last_lines: int | None = None, token: str = "",
             until: t.TailUntil | None = None, heartbeat: float = _tail.HEARTBEAT, give_up_after: int | None = None,
             viewer: str = "") -> _tail.AsyncLogTail:
        """Follows the log of a run until it ends; resumes automatically, each line
        once.

        Iterates over events, `.lines()` over lines. start "now" and last_lines
        omit older lines. token, until, give_up_after: see tail.

        >>> for line in client.logs(run_id, last_lines=100).lines():  # doctest: +SKIP
        ...     print(line.text)
        """
        fields = {"run_id": _id(run), "start": start, "last_lines": last_lines, "until": until, "heartbeat_interval": heartbeat, "viewer": viewer}
        return self._transport.twin_of(_tail.AsyncLogTail)(self._transport, "TailLogs", fields, token, give_up_after)

    async def export(self, runs: Run | Sequence[Run], path: str | os.PathLike[str], format: t.ExportFormat = "json", *, filter: str = "",
                     layout: t.ExportLayout | None = None, metrics: Names = None, prefixes: Names = None, include_media: bool = False,
                     progress: Progress = None, viewer: str = "") -> _files.File:
        """Saves runs, or with runs=[] those that match a filter (at most 100), as a
        file: "json", "csv", "jsonl", "arrow", "parquet", "zip", "markdown" or
        "html". Resumes after failures, and checks size and SHA-256.

        layout: "wide" (a row per step) or "long" (a row per point), for csv,
        arrow, parquet. path may be a folder. progress: True for a bar (tqdm), or
        a function of received and total bytes (None: unknown).

        >>> client.export(run_id, "run.parquet", "parquet").size_bytes  # doctest: +SKIP
        """
        fields = {"run_ids": _ids(runs), "filter": filter, "format": format, "layout": layout, "metric_names": _names(metrics),
                  "metric_prefixes": _names(prefixes), "include_media": include_media, "viewer": viewer}
        if len(fields["run_ids"]) == 1:  # proxies route by field number 2, run_id
            fields["run_id"] = fields.pop("run_ids")[0]
        return await _files.save(self._transport, "ExportExperiment", fields, path, progress)

    # Metrics.

    def metrics(self, run: Run, *, metrics: Names = None, prefixes: Names = None, limit: int | None = None,
                viewer: str = "") -> AsyncPages[t.MetricInfo]:
        """Lists the metrics of a run: count, first and last step, last value,
        minimum, maximum. metrics are exact names, prefixes are prefixes of names;
        without both: all metrics.

        >>> {m.metric_name: m.last_value for m in client.metrics(run_id)}  # doctest: +SKIP
        """
        return self._pages("ListMetrics", "metrics", limit, run_id=_id(run), metric_names=_names(metrics), metric_prefixes=_names(prefixes), viewer=viewer)

    def history(self, runs: Run | Sequence[Run], metrics: Names = None, *, prefixes: Names = None, min_step: int | None = None,
                max_step: int | None = None, max_points: int | None = None, merged: bool = False, positions: bool = False,
                progress: Progress = None, viewer: str = "") -> _history.AsyncHistoryQuery:
        """Reads every logged point of one or several runs (at most 64): as a table
        with `.to_pandas()`, `.to_polars()`, `.to_arrow()` or `.to_numpy()`, or as
        series: history["loss"].values. With AsyncClient: `await
        client.history(run).to_pandas()`, `await client.history(run)`.

        It is complete, or IncompleteError is raised; only max_points, the maximum
        number of points of a series, makes it a sample. merged: one value per
        step, ascending (the server buffers the whole history). min_step and
        max_step are inclusive. progress: see export; it counts points, or bytes if
        a table is read as Arrow.

        >>> client.history(run_id, ["loss"]).to_pandas()  # doctest: +SKIP
        """
        fields = {"run_ids": _ids(runs), "metric_names": _names(metrics), "metric_prefixes": _names(prefixes), "min_step": min_step,
                  "max_step": max_step, "order": "merged" if merged else "log", "positions": positions, "viewer": viewer,
                  "downsample": None if max_points is None else {"max_points": max_points}}
        return self._transport.twin_of(_history.AsyncHistoryQuery)(self._transport, fields, progress)

    async def get_metrics(self, run: Run, metrics: Names = None, *, prefixes: Names = None, min_step: int | None = None,
                          max_step: int | None = None, first: int | None = None, last: int | None = None, max_points: int | None = None,
                          viewer: str = "") -> _history.History:
        """Gets the first points, the last points or a sample (max_points) of each
        series in one answer, one value per step. Raises LimitError if the answer
        exceeds 3 MiB: then use history.

        >>> client.get_metrics(run_id, "loss", last=10)["loss"].values  # doctest: +SKIP
        """
        fields = {"run_id": _id(run), "metric_names": _names(metrics), "metric_prefixes": _names(prefixes), "min_step": min_step,
                  "max_step": max_step, "limit": first, "last": last, "viewer": viewer,
                  "downsample": None if max_points is None else {"max_points": max_points}}
        return _history.from_metrics(await call(self._transport, "GetMetrics", fields))

    def tail(self, runs: Run | Sequence[Run] = (), metrics: Names = None, *, filter: str = "", prefixes: Names = None,
             min_step: int | None = None, max_step: int | None = None, start: t.TailStart | None = None, token: str = "",
             max_history_points: int | None = None, positions: bool = False, until: t.TailUntil | None = None,
             heartbeat: float = _tail.HEARTBEAT, give_up_after: int | None = None, viewer: str = "") -> _tail.AsyncTail:
        """Follows runs, or all that match a filter, as they log: first the history
        (start "now" omits it), then live points, until the runs end (until
        "forever": never).

        It resumes automatically after failures of the connection, the server or
        Viewers; each point is returned once, in the order of logging. (On Viewers
        0.5, changes at steps already sent may be repeated.) Iterates over events,
        `.points()` over points. token: the `.token` of an earlier tail, to resume
        after the events that it returned. heartbeat: interval in seconds; after
        two intervals without a message the client reconnects. give_up_after:
        maximum number of consecutive retries before the error is raised; by
        default unlimited once a message has arrived.

        >>> for point in client.tail(run_id, ["loss"]).points():  # doctest: +SKIP
        ...     print(point.step, point.value)
        """
        fields = {"run_ids": _ids(runs), "filter": filter, "metric_names": _names(metrics), "metric_prefixes": _names(prefixes),
                  "min_step": min_step, "max_step": max_step, "start": start, "positions": positions, "until": until, "viewer": viewer,
                  "heartbeat_interval": heartbeat, "history_downsample": None if max_history_points is None else {"max_points": max_history_points}}
        return self._transport.twin_of(_tail.AsyncTail)(self._transport, "TailMetrics", fields, token, give_up_after)

    async def compare(self, runs: Run | Sequence[Run] = (), metrics: Names = None, *, filter: str = "", prefixes: Names = None,
                      alignment: t.Alignment | None = None, min_step: int | None = None, max_step: int | None = None,
                      max_points: int | None = None, max_runs: int | None = None, allow_partial: bool = False, viewer: str = "") -> Comparison:
        """Aligns metrics of several runs: by step, or with alignment
        "relative_time" by seconds since each run's first point. Finite numbers
        only. `not_read` has the runs that could not be read.

        >>> client.compare([a, b], ["loss"]).to_pandas("loss").plot()  # doctest: +SKIP
        """
        fields = {"run_ids": _ids(runs), "filter": filter, "metric_names": _names(metrics), "metric_prefixes": _names(prefixes),
                  "alignment": alignment, "min_step": min_step, "max_step": max_step, "max_runs": max_runs, "allow_partial": allow_partial,
                  "viewer": viewer, "downsample": None if max_points is None else {"max_points": max_points}}
        return Comparison(await call(self._transport, "CompareExperiments", fields))

    async def best(self, metric: str, *, goal: Literal["maximize", "minimize"] = "maximize", runs: Run | Sequence[Run] = (), filter: str = "",
                   project: str | None = None, name: str | None = None, status: str | None = None, ranking: t.Ranking | None = None,
                   max_runs: int | None = None, allow_partial: bool = False, viewer: str = "") -> t.FindBestExperimentResponse:
        """Finds the experiment with the maximum (or minimum) finite value of a
        metric: .experiment (None if none has one), .value, .step, .time. ranking
        "last" compares the last point of each run instead of its best one.

        >>> client.best("val/loss", goal="minimize", project="vision").experiment  # doctest: +SKIP
        """
        return await self._call(
            "FindBestExperiment", metric_name=metric, goal=goal, run_ids=_ids(runs), filter=join(filter, project=project, name=name, status=status),
            ranking=ranking, max_runs=max_runs, allow_partial=allow_partial, viewer=viewer)

    # Artifacts (Viewers 0.5) and assets (0.6 and later). Other generations raise UnsupportedError.

    def artifacts(self, *, type: str = "", limit: int | None = None, viewer: str = "") -> AsyncPages[t.Artifact]:
        """Lists artifacts by name (0.5), all or of one type.

        >>> client.artifacts(type="model").to_pandas()  # doctest: +SKIP
        """
        return self._pages("ListArtifacts", "artifacts", limit, type=type, viewer=viewer)

    async def artifact(self, name: str, *, version: int | None = None, alias: str = "", type: str = "", viewer: str = "") -> t.ArtifactVersion:
        """Gets a version of an artifact (0.5), by name and version or alias, or by
        an id such as "model:v3"; by default the latest. Raises NotFoundError.

        >>> client.artifact("my-model:v3").size_bytes  # doctest: +SKIP
        """
        return (await self._call("GetArtifact", name=name, version=version, alias=alias, type=type, viewer=viewer)).artifact_version

    def artifact_versions(self, name: str, *, type: str = "", limit: int | None = None, viewer: str = "") -> AsyncPages[t.ArtifactVersion]:
        """Lists the versions of an artifact (0.5), newest first.

        >>> client.artifact_versions("my-model").to_pandas()  # doctest: +SKIP
        """
        return self._pages("ListArtifactVersions", "artifact_versions", limit, name=name, type=type, viewer=viewer)

    def artifact_files(self, name: str, *, version: int | None = None, alias: str = "", type: str = "", limit: int | None = None,
                       viewer: str = "") -> AsyncPages[t.ArtifactFile]:
        """Lists the files of a version (0.5); `page` has its references to external
        data. No Viewer serves the content of files.

        >>> [f.path for f in client.artifact_files("my-model:v3")]  # doctest: +SKIP
        """
        return self._pages("ListArtifactFiles", "files", limit, name=name, version=version, alias=alias, type=type, viewer=viewer)

    async def artifact_lineage(self, name: str, *, version: int | None = None, alias: str = "", type: str = "", max_depth: int | None = None,
                               viewer: str = "") -> t.GetArtifactLineageResponse:
        """Gets the experiments that created and used a version (0.5), up to max_depth
        edges away (3 by default): .nodes and .edges.

        >>> client.artifact_lineage("my-model:v3").edges  # doctest: +SKIP
        """
        return await self._call("GetArtifactLineage", name=name, version=version, alias=alias, type=type, max_depth=max_depth, viewer=viewer)

    def experiment_artifacts(self, run: Run, *, relation: t.ArtifactRelation | None = None, limit: int | None = None,
                             viewer: str = "") -> AsyncPages[t.ExperimentArtifact]:
        """Lists what a run created and used (relation "created", "used"): versions
        of artifacts on 0.5, assets on 0.6 and later.

        >>> client.experiment_artifacts(run_id, relation="created").to_pandas()  # doctest: +SKIP
        """
        return self._pages("ListExperimentArtifacts", "artifacts", limit, run_id=_id(run), relation=relation, viewer=viewer)

    async def artifact_stats(self, *, viewer: str = "") -> t.GetArtifactStatsResponse:
        """Gets the number and the size of a Viewer's artifacts (0.5).

        >>> client.artifact_stats().size_bytes  # doctest: +SKIP
        """
        return await self._call("GetArtifactStats", viewer=viewer)

    async def promote_artifact(self, name: str, to_stage: t.LifecycleStage, *, version: int | None = None, notes: str = "",
                               evaluator_run: Run = "", viewer: str = "") -> t.PromoteArtifactResponse:
        """Moves a version to another lifecycle stage (0.5). Raises BadRequestError
        if the transition is not allowed.

        >>> client.promote_artifact("my-model:v3", "staging").from_stage  # doctest: +SKIP
        """
        return await self._call("PromoteArtifact", name=name, to_stage=to_stage, version=version, notes=notes, evaluator_run_id=_id(evaluator_run), viewer=viewer)

    async def delete_artifact(self, name: str, *, version: int | None = None, type: str = "", permanent: bool = False,
                              viewer: str = "") -> t.DeleteArtifactResponse:
        """Deletes a version (0.5); without permanent it is only marked as deleted.

        >>> client.delete_artifact("my-model:v3").still_readable  # doctest: +SKIP
        True
        """
        return await self._call("DeleteArtifact", name=name, version=version, type=type, permanent=permanent, viewer=viewer)

    def assets(self, run: Run, *, type: t.AssetType | None = None, limit: int | None = None, viewer: str = "") -> AsyncPages[t.Asset]:
        """Lists the assets of a run (0.6 and later): "code", "config", "dataset",
        "pretrained", "output", "run_file".

        >>> client.assets(run_id, type="output").to_pandas()  # doctest: +SKIP
        """
        return self._pages("ListAssets", "assets", limit, run_id=_id(run), type=type, viewer=viewer)

    def images(self, run: Run, *, key: str = "", limit: int | None = None, viewer: str = "") -> AsyncPages[t.Image]:
        """Lists the logged images of a run, in the order of logging (0.6 and later).

        >>> [(i.key, i.step, i.asset_id) for i in client.images(run_id)]  # doctest: +SKIP
        """
        return self._pages("ListImages", "images", limit, run_id=_id(run), key=key, viewer=viewer)

    async def download(self, run: Run, asset: str | t.Asset | t.Image, path: str | os.PathLike[str], *, progress: Progress = None,
                       viewer: str = "") -> _files.File:
        """Saves an asset or image: a file as it is, a folder as a zip. Resumes after
        failures, and checks size and SHA-256. path and progress: see export.

        >>> client.download(run_id, client.images(run_id).to_list()[0], "last.png")  # doctest: +SKIP
        """
        fields = {"run_id": _id(run), "asset_id": asset if isinstance(asset, str) else asset.asset_id, "viewer": viewer}
        return await _files.save(self._transport, "DownloadAsset", fields, path, progress)

    # Remote machines, over SSH. All calls need the role admin. One call is one login attempt; none is retried.

    async def connect_remote(self, host: str, username: str, *, port: int | None = None, password: str = "", private_key: str = "",
                             private_key_path: str = "", passphrase: str = "", use_agent: bool | None = None,
                             viewer: str = "") -> t.OpenConnectionResponse:
        """Opens an SSH connection from a Viewer's machine: .connection.connection_id.
        Raises HostKeyError, with the fingerprint, if the host key is unknown:
        compare it, then call accept_host_key. Raises AuthenticationError if the
        login is refused.

        >>> client.connect_remote("gpu-1", "me", password=secret).connection  # doctest: +SKIP
        """
        target = _target(host, username, port, password, private_key, private_key_path, passphrase, use_agent)
        return await self._call("OpenConnection", target=target, viewer=viewer)

    async def close_remote(self, connection_id: str, *, viewer: str = "") -> t.CloseConnectionResponse:
        """Closes an SSH connection, and stops the remote Viewers that use it.

        >>> client.close_remote("me@gpu-1:22").stopped_session_ids  # doctest: +SKIP
        """
        return await self._call("CloseConnection", connection_id=connection_id, viewer=viewer)

    def connections(self, *, viewer: str = "") -> AsyncPages[t.Connection]:
        """Lists a Viewer's SSH connections.

        >>> [c.connection_id for c in client.connections()]  # doctest: +SKIP
        """
        return self._pages("ListConnections", "connections", viewer=viewer)

    async def start_viewer(self, connection_id: str = "", remote_root: str = "", *, target: Mapping[str, Any] | None = None,
                           local_port: int | None = None, remote_port: int | None = None, conda_env: str = "", viewer: str = "") -> t.ViewerSession:
        """Starts a Viewer on a remote machine, over an open connection or a target
        (the arguments of connect_remote as a dict). This may take a minute. The
        `viewer` of the session is the name for the viewer argument of other calls.

        >>> s = client.start_viewer("me@gpu-1:22", "/data/runicorn")  # doctest: +SKIP
        >>> client.experiments(viewer=s.viewer).to_pandas()  # doctest: +SKIP
        """
        return (await self._call("StartViewer", connection_id=connection_id, remote_root=remote_root, target=target, local_port=local_port,
                                 remote_port=remote_port, conda_env=conda_env, viewer=viewer)).session

    async def stop_viewer(self, session_id: str, *, viewer: str = "") -> str:
        """Stops a remote Viewer and its tunnel; returns the session's id.

        >>> client.stop_viewer(s.session_id)  # doctest: +SKIP
        """
        return (await self._call("StopViewer", session_id=session_id, viewer=viewer)).session_id

    def viewer_sessions(self, *, viewer: str = "") -> AsyncPages[t.ViewerSession]:
        """Lists the remote Viewers of a Viewer.

        >>> client.viewer_sessions().to_pandas()  # doctest: +SKIP
        """
        return self._pages("ListViewerSessions", "sessions", viewer=viewer)

    async def viewer_session(self, session_id: str, *, viewer: str = "") -> t.ViewerSession:
        """Gets one remote Viewer. Raises NotFoundError.

        >>> client.viewer_session(s.session_id).state  # doctest: +SKIP
        'running'
        """
        return (await self._call("GetViewerSession", session_id=session_id, viewer=viewer)).session

    def remote_directory(self, connection_id: str, path: str = "", *, viewer: str = "") -> AsyncPages[t.DirectoryEntry]:
        """Lists a folder of a connected machine, the home by default (0.5, 0.6).

        >>> [e.name for e in client.remote_directory("me@gpu-1:22", "~/runs")]  # doctest: +SKIP
        """
        return self._pages("ListDirectory", "entries", connection_id=connection_id, path=path, viewer=viewer)

    async def check_path(self, connection_id: str, path: str, *, viewer: str = "") -> t.CheckPathResponse:
        """Checks whether a path exists on a connected machine (0.5, 0.6).

        >>> client.check_path("me@gpu-1:22", "/data").exists  # doctest: +SKIP
        """
        return await self._call("CheckPath", connection_id=connection_id, path=path, viewer=viewer)

    def python_environments(self, connection_id: str, *, viewer: str = "") -> AsyncPages[t.PythonEnvironment]:
        """Lists the Python environments of a connected machine.

        >>> [e.name for e in client.python_environments("me@gpu-1:22")]  # doctest: +SKIP
        """
        return self._pages("ListPythonEnvironments", "environments", connection_id=connection_id, viewer=viewer)

    async def remote_config(self, connection_id: str, *, conda_env: str = "", viewer: str = "") -> t.GetRemoteConfigResponse:
        """Gets the versions and the storage root of a Python environment of a
        connected machine.

        >>> client.remote_config("me@gpu-1:22").runicorn_version  # doctest: +SKIP
        """
        return await self._call("GetRemoteConfig", connection_id=connection_id, conda_env=conda_env, viewer=viewer)

    async def remote_status(self, *, viewer: str = "") -> t.GetRemoteStatusResponse:
        """Gets SSH connections and remote Viewers in one call.

        >>> len(client.remote_status().sessions)  # doctest: +SKIP
        """
        return await self._call("GetRemoteStatus", viewer=viewer)

    async def accept_host_key(self, host_key: t.HostKey, *, viewer: str = "") -> t.HostKey:
        """Accepts a host key, which replaces an earlier one (0.6 and later).

        >>> try:  # doctest: +SKIP
        ...     client.connect_remote("gpu-1", "me")
        ... except HostKeyError as error:
        ...     if error.fingerprint == published_fingerprint:
        ...         client.accept_host_key(error.host_key)
        """
        return (await self._call("AcceptHostKey", host_key=host_key, viewer=viewer)).host_key

    def host_keys(self, *, viewer: str = "") -> AsyncPages[t.HostKey]:
        """Lists the known host keys (0.6 and later).

        >>> [k.fingerprint_sha256 for k in client.host_keys()]  # doctest: +SKIP
        """
        return self._pages("ListHostKeys", "host_keys", viewer=viewer)

    async def remove_host_key(self, host: str, key_type: str, *, port: int | None = None, viewer: str = "") -> bool:
        """Removes a host key (0.6 and later); returns whether there was one.

        >>> client.remove_host_key("gpu-1", "ssh-ed25519")  # doctest: +SKIP
        """
        return (await self._call("RemoveHostKey", host=host, key_type=key_type, port=port, viewer=viewer)).removed

    def saved_connections(self, *, viewer: str = "") -> AsyncPages[t.SavedConnection]:
        """Lists the saved connections of a Viewer, without their secrets.

        >>> client.saved_connections().to_pandas()  # doctest: +SKIP
        """
        return self._pages("ListSavedConnections", "saved_connections", viewer=viewer)

    async def save_connection(self, host: str, username: str, *, display_name: str = "", remember_secrets: bool = False, port: int | None = None,
                              password: str = "", private_key: str = "", private_key_path: str = "", passphrase: str = "",
                              use_agent: bool | None = None, viewer: str = "") -> t.SavedConnection:
        """Saves a connection in a Viewer. Its secrets are saved only with
        remember_secrets, because Viewers protect them weakly.

        >>> client.save_connection("gpu-1", "me", display_name="GPU")  # doctest: +SKIP
        """
        target = _target(host, username, port, password, private_key, private_key_path, passphrase, use_agent)
        return (await self._call("SaveConnection", target=target, display_name=display_name, remember_secrets=remember_secrets, viewer=viewer)).saved_connection

    async def delete_saved_connection(self, saved_connection_id: str, *, viewer: str = "") -> str:
        """Deletes a saved connection of a Viewer; returns its id.

        >>> client.delete_saved_connection("gpu-1:22@me")  # doctest: +SKIP
        """
        return (await self._call("DeleteSavedConnection", saved_connection_id=saved_connection_id, viewer=viewer)).saved_connection_id

    # Viewers and their machines.

    def viewers(self) -> AsyncPages[t.Viewer]:
        """Lists the Viewers behind the server, with their last known health.

        >>> [(v.viewer, v.generation, v.health.state) for v in client.viewers()]  # doctest: +SKIP
        """
        return self._pages("ListViewers", "viewers")

    async def viewer(self, viewer: str = "") -> t.Viewer:
        """Gets one Viewer after a health check. A Viewer that is down is not an error.

        >>> client.viewer().health.state  # doctest: +SKIP
        'up'
        """
        return (await self._call("GetViewer", viewer=viewer)).viewer

    async def config(self, *, viewer: str = "") -> t.ViewerConfig:
        """Gets a Viewer's configuration.

        >>> client.config().storage  # doctest: +SKIP
        """
        return (await self._call("GetConfig", viewer=viewer)).config

    async def update_config(self, storage_root: str, *, viewer: str = "") -> t.ViewerConfig:
        """Changes a Viewer's storage root, an absolute path, permanently. Raises
        PermissionError unless the server runs with --allow-config-writes.

        >>> client.update_config("/data/runicorn")  # doctest: +SKIP
        """
        return (await self._call("UpdateConfig", config={"storage_root": storage_root, "viewer": viewer}, update_mask=["storage_root"])).config

    async def gpu(self, *, viewer: str = "") -> t.GetGpuResponse:
        """Gets the state of the GPUs of a Viewer's machine: percent, MiB, watts.

        >>> [g.utilization_percent for g in client.gpu().gpus]  # doctest: +SKIP
        """
        return await self._call("GetGpu", viewer=viewer)

    async def system(self, *, viewer: str = "") -> t.GetSystemResponse:
        """Measures CPU, memory and disk of a Viewer's machine, in percent and bytes.
        It blocks the Viewer for 1.5 s: do not poll it.

        >>> client.system().memory.available_bytes  # doctest: +SKIP
        """
        return await self._call("GetSystem", viewer=viewer)

    async def storage_stats(self, *, viewer: str = "") -> t.GetStorageStatsResponse:
        """Measures a Viewer's storage in bytes (0.6 and later).

        >>> client.storage_stats().parts[0].size_bytes  # doctest: +SKIP
        """
        return await self._call("GetStorageStats", viewer=viewer)

    async def check_statuses(self, *, viewer: str = "") -> t.CheckStatusesResponse:
        """Makes a Viewer check the processes of running experiments; an experiment
        whose process has ended becomes failed.

        >>> client.check_statuses().updated_count  # doctest: +SKIP
        """
        return await self._call("CheckStatuses", viewer=viewer)


def _target(host: str, username: str, port: int | None, password: str, private_key: str, private_key_path: str, passphrase: str,
            use_agent: bool | None) -> dict[str, Any]:
    return {"host": host, "username": username, "port": port, "password": password, "private_key": private_key,
            "private_key_path": private_key_path, "passphrase": passphrase, "use_agent": use_agent}
