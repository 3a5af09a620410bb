"""Tails that resume, over a transport with scripted failures."""

import random

import pytest

import runicorn_grpc as r
from runicorn_grpc import _contract, errors
from runicorn_grpc._resume import Backoff
from runicorn_grpc._transport import BlockingTransport, Silent


def message(token, **event):
    built = _contract.build("TailMetricsResponse", {"resume_token": token, "viewer": "v", "run_id": "run"})
    for name, value in event.items():
        getattr(built, name).CopyFrom(_contract.build(type(getattr(built, name)).DESCRIPTOR.name, value))
    return built


def batch(token, *steps):
    """Points as the server sends them: packed columns."""
    import struct

    built = message(token, batch={})
    series = built.batch.series.add(metric_name="loss", kind=1)
    series.steps.append(bytes(2 * s for s in steps))
    series.times.append(struct.pack(f"<{len(steps)}d", *map(float, steps)))
    series.values.append(struct.pack(f"<{len(steps)}d", *map(float, steps)))
    return built


class Script:
    """A transport whose calls are lists of messages and errors."""

    def __init__(self, *calls):
        self.calls, self.requests, self.slept, self.limits, self.cancelled = list(calls), [], [], [], 0
        self.settings = r.Client("127.0.0.1:1")._transport.settings

    async def open(self, method, request):
        self.requests.append(request)
        return Played(self, self.calls.pop(0))

    async def sleep(self, seconds):
        self.slept.append(seconds)

    def twin_of(self, kind):
        from runicorn_grpc._transport import twin

        return twin(kind)


class Played:
    def __init__(self, script, parts):
        self.script, self.parts = script, list(parts)

    async def next(self, limit):
        self.script.limits.append(limit)
        if not self.parts:
            return None
        part = self.parts.pop(0)
        if isinstance(part, BaseException):
            raise part
        return part

    def cancel(self):
        self.script.cancelled += 1


def tail(script, **kwargs):
    client = r.Client("127.0.0.1:1")
    client._transport = script
    return client.tail("run", ["loss"], start="now", **kwargs)


UNAVAILABLE = r.ConnectionError("gone", code="UNAVAILABLE", reason="SERVER_DRAINING")


@pytest.mark.parametrize("broken", [
    UNAVAILABLE,
    r.ServerError("reset", code="INTERNAL"), r.ServerError("stream terminated", code="UNKNOWN"), r.ConnectionError("rst", code="CANCELLED"),
    Silent("no message for 30 s", code="UNAVAILABLE"),
], ids=lambda e: f"{type(e).__name__} {e.code}")
def test_each_point_comes_once(broken):
    script = Script([batch("t1", 1, 2), broken], [broken], [batch("t2", 3), message("t3", end={"reason": "finished"})])
    points = list(tail(script).points())
    assert [p.step for p in points] == [1, 2, 3]
    first, *others = script.requests
    assert first.start == 2 and not first.resume_token
    for request in others:
        assert (request.resume_token, list(request.run_ids), list(request.metric_names), request.start) == ("t1", ["run"], ["loss"], 0)
    assert len(script.slept) == 2 and script.limits[0] == 30


@pytest.mark.parametrize("final", [
    r.ServerError("x", code="INTERNAL", reason="INTERNAL_ERROR"), r.NotFoundError("x", code="NOT_FOUND"),
    r.BadRequestError("x", code="INVALID_ARGUMENT", reason="RESUME_TOKEN_INVALID"), r.AuthenticationError("x", code="UNAUTHENTICATED"),
    r.ConnectionError("x", code="CANCELLED", reason="CALLER_CANCELLED"), r.LimitError("x", code="RESOURCE_EXHAUSTED"),
], ids=lambda e: e.code)
def test_what_is_final_is_raised(final):
    script = Script([batch("t1", 1), final])
    with pytest.raises(type(final)):
        list(tail(script))
    assert not script.slept


def test_a_tail_that_never_worked_gives_up_and_one_that_did_does_not():
    with pytest.raises(r.ConnectionError):
        next(tail(Script(*[[UNAVAILABLE]] * 4)))
    script = Script([batch("t1", 1), UNAVAILABLE], *[[UNAVAILABLE]] * 50, [batch("t2", 2)])
    assert len(list(tail(script))) == 2
    script = Script([batch("t1", 1), UNAVAILABLE], *[[UNAVAILABLE]] * 50)
    with pytest.raises(r.ConnectionError):
        list(tail(script, give_up_after=5))
    assert len(script.slept) == 5


def test_a_heartbeat_at_each_connection_is_no_progress():
    beats = [[message("h", heartbeat={}), UNAVAILABLE]] * 6
    script = Script([batch("t1", 1), UNAVAILABLE], *beats, [message("h", heartbeat={}), message("h", heartbeat={}), UNAVAILABLE], [batch("t2", 2)])
    assert len(list(tail(script))) == 2
    assert script.slept[6] > 2 and script.slept[7] <= 0.2
    with pytest.raises(r.ConnectionError):
        list(tail(Script([batch("t1", 1), UNAVAILABLE], *beats), give_up_after=3))


def test_the_token_is_that_of_what_was_returned():
    script = Script([batch("t1", 1, 2), message("h", heartbeat={}), message("c", caught_up={}), batch("t2", 3)])
    followed = tail(script)
    points = followed.points(on_event=lambda e: None)
    assert (next(points).step, followed.token) == (1, "")
    assert (next(points).step, followed.token) == (2, "t1")
    assert (next(points).step, followed.token) == (3, "t2")
    assert followed.health is not None


def test_an_interrupted_tail_goes_on():
    script = Script([batch("t1", 1), KeyboardInterrupt()], [batch("t2", 2)])
    followed = tail(script)
    assert next(followed).token == "t1"
    with pytest.raises(KeyboardInterrupt):
        next(followed)
    assert [e.token for e in followed] == ["t2"] and script.requests[1].resume_token == "t1" and script.cancelled == 1


def test_events_tell_resets_changes_and_ends():
    script = Script([message("a", log_reset={"reason": "replaced"}), message("b", status_change={"status": "failed", "viewer_status": "f"}),
                     message("c", caught_up={}), message("d", end={"reason": "failed"})])
    assert [type(e).__name__ for e in tail(script)] == ["LogReset", "StatusChange", "CaughtUp", "End"]
    with pytest.raises(r.LogResetError, match="was replaced"):
        next(tail(Script([message("a", log_reset={"reason": "replaced"}), batch("b", 1)])).points())
    events = []
    assert [p.step for p in tail(Script([message("a", log_reset={"reason": "replaced"}), batch("b", 1)])).points(events.append)] == [1]
    assert events[0].reason == "replaced"


def test_delays_grow_are_jittered_and_obey_the_server():
    backoff = Backoff(None, random.Random(1))
    delays = [backoff.delay(UNAVAILABLE, "x") for _ in range(12)]
    assert delays[0] <= 0.2 and 5 <= delays[-1] <= 10 and len(set(delays)) == 12
    assert Backoff(None).delay(r.ConnectionError("x", code="UNAVAILABLE", retry_after=42.0), "x") == 42.0


def test_what_changes_something_is_sent_once():
    class Broken(Script):
        async def unary(self, method, request, timeout):
            self.requests.append(method.name)
            raise UNAVAILABLE

    for rpc, calls in (("delete", 1), ("restore", 1), ("experiment", 4)):
        client = r.Client("127.0.0.1:1")
        client._transport = broken = Broken()
        with pytest.raises(r.ConnectionError):
            getattr(client, rpc)("x")
        assert len(broken.requests) == calls


def test_a_history_without_its_trailer_raises():
    def part(**event):
        return _contract.build("StreamMetricsResponse", {"viewer": "v", "run_id": "run"} | event)

    for parts in ([part(batch={})], [], [part(trailer={"point_count": 7})]):
        client = r.Client("127.0.0.1:1")
        client._transport = Script(parts)
        with pytest.raises(r.IncompleteError):
            client.history("run").load()
    client._transport = script = Script([part(batch={}), r.ServerError("reset", code="INTERNAL")], [part(trailer={})])
    assert client.history("run").load().point_count == 0 and len(script.slept) == 1


def test_a_history_says_what_was_too_large():
    pytest.importorskip("pyarrow")
    import io

    import pyarrow as pa

    lost = ["1 line of more than 16 MiB is left out."]
    client = r.Client("127.0.0.1:1")
    client._transport = Script([_contract.build("StreamMetricsResponse", {"trailer": {"limitations": lost}})])
    with pytest.warns(r.IncompleteWarning, match="16 MiB"):
        assert client.history("run").load().limitations == lost
    file = io.BytesIO()
    table = pa.table({"step": pa.array([1], pa.int64())})
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    content = file.getvalue()
    client._transport = Script([file_part(header={}), file_part(chunk=content), file_part(trailer={"size_bytes": len(content), "limitations": lost})])
    with pytest.warns(r.IncompleteWarning, match="16 MiB"):
        assert len(client.history("run").to_pandas()) == 1


def test_a_table_that_the_server_refuses_as_arrow_is_read_as_points():
    pytest.importorskip("pyarrow")
    client = r.Client("127.0.0.1:1")
    trailer = _contract.build("StreamMetricsResponse", {"trailer": {}})
    client._transport = Script([r.LimitError("no space", code="RESOURCE_EXHAUSTED", reason="SERVER_LIMIT")], [trailer])
    assert len(client.history("run").to_pandas()) == 0
    client._transport = Script([r.NotFoundError("no run", code="NOT_FOUND", reason="RUN_NOT_FOUND")])
    with pytest.raises(r.NotFoundError):
        client.history("run").to_pandas()


class BlockingScript(Script, BlockingTransport):
    """A transport over which tables are built while they are received."""


@pytest.mark.parametrize("transport", [Script, BlockingScript])
def test_a_table_that_breaks_is_the_same_or_read_as_points(transport):
    pytest.importorskip("pyarrow")
    import io

    import pyarrow as pa

    file, wanted = io.BytesIO(), pa.table({"step": pa.array(range(1000), pa.int64()), "loss": [float(i) for i in range(1000)]})
    with pa.ipc.new_stream(file, wanted.schema) as writer:
        for batch in wanted.to_batches(max_chunksize=300):
            writer.write_batch(batch)
    content, header = file.getvalue(), {"etag": "e"}
    chunks = [file_part(chunk=content[i : i + 1000]) for i in range(0, len(content), 1000)]
    end = file_part(trailer={"size_bytes": len(content)})
    trailer = _contract.build("StreamMetricsResponse", {"trailer": {}})

    def read(*calls):
        client = r.Client("127.0.0.1:1")
        client._transport = transport(*calls)
        return client.history("run").to_arrow(), client._transport

    half = len(chunks) // 2
    table, script = read([file_part(header=header), *chunks[:half], UNAVAILABLE],
                         [file_part(header=header | {"offset": half * 1000}), *chunks[half:], end])
    assert table.equals(wanted) and script.requests[1].offset == half * 1000 and script.cancelled == 2
    # Without an etag the file is sent again from its start; after rows have been built, points are read instead.
    again = [file_part(header={}), *chunks, end]
    table, script = read([file_part(header={}), *chunks[:half], UNAVAILABLE], [trailer] if transport is BlockingScript else again)
    assert table.num_rows == (0 if transport is BlockingScript else 1000) and script.calls == []
    for error in (r.NotFoundError("no run", code="NOT_FOUND", reason="RUN_NOT_FOUND"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            read([file_part(header=header), *chunks[:half], error])
    with pytest.raises(r.IncompleteError, match="damaged"):
        read([file_part(header={}), *chunks, file_part(trailer={"size_bytes": 1})])


def file_part(**part):
    return _contract.build("ExportExperimentResponse", part)


def test_a_file_resumes_where_it_broke(tmp_path):
    import hashlib

    def trailer(sent, size):
        return file_part(trailer={"size_bytes": size, "sha256": hashlib.sha256(sent).hexdigest()})

    header = {"file_name": "x", "etag": "e", "size_bytes": 6}
    client = r.Client("127.0.0.1:1")
    client._transport = script = Script(
        [file_part(header=header), file_part(chunk=b"abc"), UNAVAILABLE],
        [file_part(header=header | {"offset": 3}), file_part(chunk=b"def"), trailer(b"def", 6)])
    assert client.export("run", tmp_path / "x").path.read_bytes() == b"abcdef"
    assert (script.requests[1].offset, script.requests[1].if_match) == (3, "e")

    changed = r.ConflictError("x", code="ABORTED", reason="ETAG_MISMATCH")
    client._transport = Script([file_part(header=header), file_part(chunk=b"abc"), UNAVAILABLE], [changed],
                               [file_part(header=header), file_part(chunk=b"ABCDEF"), trailer(b"ABCDEF", 6)])
    assert client.export("run", tmp_path / "y").path.read_bytes() == b"ABCDEF"

    no_etag = {"file_name": "x"}
    client._transport = Script([file_part(header=no_etag), file_part(chunk=b"abc"), UNAVAILABLE],
                               [file_part(header=no_etag), file_part(chunk=b"abcdef"), trailer(b"abcdef", 6)])
    assert client.export("run", tmp_path / "z").path.read_bytes() == b"abcdef"

    for end in (trailer(b"other", 3), trailer(b"abc", 4), None):
        client._transport = Script([file_part(header=no_etag), file_part(chunk=b"abc"), *([end] if end else [])])
        with pytest.raises(r.IncompleteError):
            client.export("run", tmp_path / "bad")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x", "y", "z"]


def test_a_watch_that_resumes_tells_each_change_once():
    def experiment(name, alias):
        return {"resource_name": name, "viewer": "away" if name == "c" else "v", "alias": alias}

    def watch(**event):
        return _contract.build("WatchExperimentsResponse", event)

    def snapshot(*experiments):
        return [watch(snapshot={"experiments": [_contract.build("Experiment", e) for e in experiments]})]

    first = [*snapshot(experiment("a", "1"), experiment("b", "1"), experiment("c", "1")), watch(synced={})]
    again = [*snapshot(experiment("b", "2"), experiment("d", "1")),
             watch(synced={"unreachable": [_contract.build("UnreachableViewer", {"viewer": "away"})]}), watch(created=experiment("c", "1")),
             watch(deleted={"resource_name": "d"}), watch(deleted={"resource_name": "unknown"})]
    client = r.Client("127.0.0.1:1")
    client._transport = Script([*first, UNAVAILABLE], again)
    watched = client.watch()
    changes = [(c.kind, c.experiment and c.experiment.resource_name) for c in watched]
    assert changes == [("created", "a"), ("created", "b"), ("created", "c"), ("synced", None),
                       ("updated", "b"), ("created", "d"), ("deleted", "a"), ("synced", None), ("deleted", "d")]
    assert sorted(watched.experiments) == ["b", "c"]


def test_a_host_key_raises_with_its_fingerprint():
    key = _contract.build("HostKey", {"host": "h", "fingerprint_sha256": "SHA256:new", "expected_fingerprint_sha256": "SHA256:old"})
    status = _contract.message_class("google.rpc.Status")(code=9, message="changed")
    info = _contract.message_class("google.rpc.ErrorInfo")(reason="HOST_KEY_CHANGED", domain="runicorn-grpc", metadata={"viewer": "v"})
    for detail in (info, key):
        status.details.add().Pack(detail)
    error = errors.from_status(status)
    assert isinstance(error, r.HostKeyError) and (error.fingerprint, error.expected_fingerprint) == ("SHA256:new", "SHA256:old")
    assert error.reason == "HOST_KEY_CHANGED" and error.metadata == {"viewer": "v"}
    client = r.Client("127.0.0.1:1")

    class Takes(Script):
        async def unary(self, method, request, timeout):
            self.requests.append(request)
            return _contract.message_class(method.response)(host_key=request.host_key)

    client._transport = takes = Takes()
    assert client.accept_host_key(error.host_key).fingerprint_sha256 == "SHA256:new" and takes.requests[0].host_key == key


def test_errors_of_others_are_not_ours():
    status = _contract.message_class("google.rpc.Status")(code=13, message="x")
    status.details.add().Pack(_contract.message_class("google.rpc.ErrorInfo")(reason="R", domain="example.org"))
    error = errors.from_status(status)
    assert error.reason == "" and error.resumable
