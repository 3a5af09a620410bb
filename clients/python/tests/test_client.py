"""The client in front of the demo."""

import asyncio
import datetime as dt
import math
import shutil
import subprocess
import threading

import pytest

import runicorn_grpc as r


def test_lists_page_by_themselves_and_can_be_read_again(client, monkeypatch):
    monkeypatch.setattr("runicorn_grpc._pages.PAGE_SIZE", 2)
    pages = client.experiments(viewer="-")
    first = [e.resource_name for e in pages]
    assert len(first) == len(set(first)) == pages.total_size > 4
    assert [e.resource_name for e in pages] == first
    assert len(client.experiments(viewer="-", limit=3).to_list()) == 3
    assert isinstance(pages.to_list()[0].create_time, dt.datetime)


def test_a_list_that_lacks_a_viewer_warns(demo):
    from conftest import Server

    server = Server("--demo", "--viewer=gone=http://127.0.0.1:1")
    try:
        with r.Client(server.grpc) as client:
            pages = client.experiments(viewer="-")
            with pytest.warns(r.IncompleteWarning, match="viewer gone"):
                assert pages.to_list()
            assert [u.viewer for u in pages.unreachable] == ["gone"]
            assert isinstance(pages.unreachable[0].error, r.ConnectionError)
            with pytest.raises(r.ConnectionError) as raised:
                client.experiment("x", viewer="gone")
            assert raised.value.reason == "VIEWER_UNREACHABLE" and raised.value.retry_after
    finally:
        server.stop()


def test_errors_have_reason_and_metadata(client):
    with pytest.raises(r.NotFoundError) as raised:
        client.experiment("20200101_000000_abcdef")
    assert raised.value.reason == "RUN_NOT_FOUND" and raised.value.metadata["run_id"] == "20200101_000000_abcdef"
    with pytest.raises(r.BadRequestError, match="at character 1") as raised:
        client.experiments("bogus = 1").to_list()
    assert "filter" in raised.value.violations
    with pytest.raises(r.UnsupportedError) as raised:
        client.artifacts().to_list()
    assert raised.value.reason == "VIEWER_LACKS_CAPABILITY"
    with pytest.raises(r.NotFoundError, match="20200101_000000_abcdef"):
        next(client.tail("20200101_000000_abcdef").points())


def test_a_server_that_is_not_there_is_told_with_its_address():
    address = "127.0.0.1:1"
    with r.Client(address, retries=1) as client:
        with pytest.raises(r.ConnectionError, match=f"{address} does not answer"):
            client.viewers().to_list()
        with pytest.raises(r.ConnectionError):
            next(client.tail("x"))


def test_a_history_is_complete(client, live, ended):
    for run in (live, ended):
        history = client.history(run)
        infos = {(m.metric_name, m.kind): m.count for m in client.metrics(run)}
        assert {(s.metric, s.kind) for s in history} >= set(infos)
        assert not history.sampled and set(history.fidelity) == {run.run_id}
        merged = client.history(ended, merged=True)
    assert {(s.metric, s.kind): len(s) for s in merged} == {k: c for k, c in infos.items()}
    sample = client.history(live, ["train/loss"], max_points=10)
    assert sample.sampled and len(sample["train/loss"]) == 10
    with pytest.raises(KeyError, match="only"):
        sample["nothing"]
    assert "train/loss" in sample._repr_html_()


def test_tables_have_the_points(client, ended):
    history = client.history(ended)
    wide, long = history.to_pandas(), history.to_pandas("long")
    assert len(long) == history.point_count and wide.index.is_monotonic_increasing and wide.index.is_unique
    for info in client.metrics(ended):
        kinds = [m.kind for m in client.metrics(ended, metrics=[info.metric_name])]
        column = wide[info.metric_name if info.kind == kinds[0] else f"{info.metric_name}#{info.kind}"]
        last = column[info.last_step]
        assert last == info.last_value or (isinstance(last, float) and math.isnan(last) and math.isnan(info.last_value))
    assert history.to_polars().height == len(wide) and history.to_arrow().num_rows == len(wide)
    assert history.to_polars("long").height == history.to_arrow("long").num_rows == len(long)
    assert set(history.to_numpy()) == set(history.to_polars().columns)
    both = client.history([r_.resource_name for r_ in client.experiments(limit=2)])
    assert both.to_pandas().index.names == ["run_id", "step"]


def test_tables_are_the_same_however_they_are_read(client):
    """Tables read as Arrow, as logged points, and merged by the server are equal."""
    import pandas as pd

    for run in client.experiments("NOT status = RUNNING", viewer="-"):
        as_arrow = client.history(run).to_pandas()
        as_logged = client.history(run).load().to_pandas()
        pd.testing.assert_frame_equal(as_arrow, as_logged)
        pd.testing.assert_frame_equal(as_arrow, client.history(run, merged=True).load().to_pandas())
        assert client.history(run).to_polars().equals(client.history(run).load().to_polars(), null_equal=True)
        assert client.history(run).to_arrow().equals(client.history(run).load().to_arrow()) or run.project == "nlp"  # NaN is not equal


def test_empty_histories_make_empty_tables(client):
    empty = client.experiments("alias = empty", limit=1).to_list()[0]
    history = client.history(empty)
    assert len(history) == 0 and len(history.to_pandas()) == 0 and len(history.to_pandas("long")) == 0
    assert history.to_polars().height == history.to_arrow("long").num_rows == 0


def test_search_and_compare(client, live):
    assert client.best("train/loss", goal="minimize").experiment is not None
    assert client.best("nothing").experiment is None
    frame = client.compare([live], ["train/loss"]).to_pandas("train/loss")
    assert list(frame.columns) == [live.run_id] and frame.index.name == "step" and len(frame)
    last = client.get_metrics(live, "train/loss", last=3)
    assert len(last["train/loss"]) == 3 and last.sampled and last.fidelity == {live.run_id: "event_log"}


def test_experiments_become_a_table(client):
    frame = client.experiments(viewer="-", view="full").to_pandas()
    assert {"run_id", "status", "best_metric.value"} <= set(frame.columns) and "best_metric" not in frame.columns
    assert client.experiments()._repr_html_().count("<tr>") > 3


def test_exports_and_downloads_are_saved_and_checked(client, ended, tmp_path):
    reported = []
    saved = client.export(ended, tmp_path / "x.csv", "csv", progress=lambda done, total: reported.append((done, total)))
    assert saved.path.stat().st_size == saved.size_bytes == reported[-1][0] and len(saved.sha256) == 64
    named = client.export([ended], tmp_path, "json")
    assert named.path.parent == tmp_path and named.path.name.endswith(".json")
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*"))
    asset = next(a for e in client.experiments() for a in client.assets(e) if a.saved)
    owner = next(e for e in client.experiments() if any(a.asset_id == asset.asset_id for a in client.assets(e)))
    assert client.download(owner, asset, tmp_path / "asset").size_bytes > 0


def test_changes(own_server):
    with r.Client(own_server.grpc) as client:
        run = client.experiments(project="vision", limit=1).to_list()[0]
        changed = client.update(run, alias="new", tags=["a", "b"], etag=run.etag)
        assert (changed.alias, changed.tags) == ("new", ["a", "b"])
        with pytest.raises(r.ConflictError):
            client.update(run, alias="other", etag="stale")
        assert client.update(run, alias=None).alias is None
        ended = client.experiments(project="nlp", limit=1).to_list()[0]
        assert client.delete(ended)[0].error is None
        assert [d.experiment.run_id for d in client.deleted()] == [ended.run_id]
        assert client.restore([ended])[0].error is None
        assert client.deleted().to_list() == []
        assert isinstance(client.restore("20200101_000000_abcdef")[0].error, r.NotFoundError)


def test_viewers_and_machines(client):
    assert {v.viewer: v.generation for v in client.viewers()} == {"demo": "0.7", "legacy": "0.5"}
    assert client.viewer("demo").health.state == "up"
    assert client.config().storage
    assert client.artifacts(viewer="legacy").to_list()[0].name
    assert client.gpu().available in (True, False)


def test_many_threads_share_a_client(client, live):
    failed = []

    def work():
        try:
            for _ in range(5):
                assert client.experiments().to_list()
                next(client.tail(live, heartbeat=1).points())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not failed


def test_asyncio(demo, live):
    async def all_of_it(client):
        runs = [e.run_id async for e in client.experiments(viewer="-")]
        history = await client.history(live, ["train/loss"])
        async with client.tail(live) as tail:
            async for _ in tail.points():
                break
        changes = client.watch()
        kinds = []
        async for change in changes:
            kinds.append(change.kind)
            if change.kind == "synced":
                break
        return len(runs), history.point_count, set(kinds)

    client = r.AsyncClient(demo.grpc)

    async def main():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(all_of_it(client)) for _ in range(3)]
        assert tasks[0].result()[2] == {"created", "synced"}

    asyncio.run(main())  # each asyncio.run creates a new event loop
    asyncio.run(main())


def test_two_loops_at_the_same_time(demo):
    client = r.AsyncClient(demo.grpc)
    failed = []

    async def main():
        for _ in range(10):
            assert await client.experiments().to_list()

    def work():
        try:
            asyncio.run(main())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not failed and not any(t.is_alive() for t in threads)


def test_addresses_and_tls(monkeypatch):
    def settings(*args, **kwargs):
        return r.Client(*args, **kwargs)._transport.settings

    monkeypatch.delenv("RUNICORN_GRPC_ADDRESS", raising=False)
    assert settings().address == "127.0.0.1:23310" and not settings().tls
    assert settings("box").address == "box:23310" and settings("http://box:1/").address == "box:1"
    assert settings("[::1]").address == "[::1]:23310" and settings("[2001:db8::1]:5").address == "[2001:db8::1]:5"
    assert settings("https://box").tls and settings("box", token="t").tls and not settings("localhost:1", token="t").tls
    assert not settings("box", token="t", tls=False).tls
    assert not settings("127.0.0.2:5", token="t").tls and not settings("[::1]", token="t").tls and not settings("unix:/run/x", token="t").tls
    for elsewhere in ("localhost.example.org", "127.example.org:1", "[2001:db8::1]:5", "10.0.0.1"):
        assert settings(elsewhere, token="t").tls
    monkeypatch.setenv("RUNICORN_GRPC_ADDRESS", "env:7")
    monkeypatch.setenv("RUNICORN_GRPC_TOKEN", "secret-of-env")
    assert settings().address == "env:7" and settings().tls
    assert "secret" not in repr(r.Client())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_tls(tmp_path):
    from conftest import Server

    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    server = Server("--demo", f"--tls-cert={cert}", f"--tls-key={key}")
    try:
        with r.Client(server.grpc, ca_file=str(cert)) as client:
            assert client.viewers().to_list()
        with r.Client(f"https://{server.grpc}", retries=0) as client, pytest.raises(r.ConnectionError):
            client.viewers().to_list()  # the certificate's issuer is not trusted by the system
        with r.Client(server.grpc, retries=0) as client, pytest.raises(r.ConnectionError):
            client.viewers().to_list()

        async def main():
            async with r.AsyncClient(server.grpc, ca_file=str(cert)) as client:
                return await client.viewers().to_list()

        assert asyncio.run(main())
    finally:
        server.stop()


def test_tokens(tmp_path):
    from conftest import Server

    (tmp_path / "tokens").write_text("read canary-of-the-reader-0123456789\n")
    server = Server("--demo", f"--auth-token-file={tmp_path}/tokens")
    try:
        with pytest.raises(r.AuthenticationError) as raised:
            r.Client(server.grpc).viewers().to_list()
        assert raised.value.reason == "TOKEN_INVALID"
        client = r.Client(server.grpc, token="canary-of-the-reader-0123456789")
        assert client.viewers().to_list()
        with pytest.raises(r.PermissionError) as raised:
            client.delete("x")
        assert raised.value.metadata["role"] == "write"
    finally:
        server.stop()
