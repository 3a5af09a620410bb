"""Reads runs over Arrow Flight as any pyarrow program would, and checks them.

read_flight.py tables GRPC HTTP VIEWER RUN...  every table against the Parquet export
read_flight.py large GRPC HTTP VIEWER RUN FILE a large table in pyarrow, DuckDB and polars,
                                               and in a file of another client, against
                                               the Parquet export
read_flight.py tail GRPC RUN                   a live tail with a resume in the middle;
                                               prints "following", at its end the points
read_flight.py refused GRPC RUN TOKEN          calls without a token, and with one
"""

import io
import json
import sys
import urllib.parse
import urllib.request

import pyarrow as pa
import pyarrow.flight as fl
import pyarrow.parquet as pq


def ticket(**kind):
    return fl.Ticket(json.dumps(kind).encode())


def same(a, b, what):
    assert a.schema.names == b.schema.names, (what, a.schema.names, b.schema.names)
    assert [f.type for f in a.schema] == [f.type for f in b.schema], (what, a.schema, b.schema)
    # Unlike Arrow, pandas takes NaN for equal to NaN.
    assert a.to_pandas().equals(b.to_pandas()), what


def tables(grpc, http, viewer, *runs):
    client = fl.connect("grpc://" + grpc)
    listed = {info.descriptor.path[1].decode(): info for info in client.list_flights(json.dumps({"viewer": viewer}).encode())}
    for run in runs:
        info = listed[run]
        about = json.loads(info.app_metadata)
        assert about["run_id"] == run and about["viewer"] == viewer, about
        for layout in "WIDE", "LONG":
            request = {"viewer": viewer, "run_id": run, "layout": "EXPORT_LAYOUT_" + layout}
            got = client.do_get(ticket(export=request)).read_all()
            query = urllib.parse.urlencode({"format": "EXPORT_FORMAT_PARQUET", "layout": request["layout"], "viewer": viewer})
            with urllib.request.urlopen(f"http://{http}/v1/experiments/{run}:export?{query}") as answer:
                same(got, pq.read_table(io.BytesIO(answer.read())), (run, layout))
        described = client.get_flight_info(fl.FlightDescriptor.for_path(viewer, run))
        wide = client.do_get(described.endpoints[0].ticket).read_all()
        assert described.schema == wide.schema, (described.schema, wide.schema)
        assert client.get_schema(fl.FlightDescriptor.for_path(viewer, run)).schema == wide.schema


def large(grpc, http, viewer, run, written):
    import duckdb
    import polars

    client = fl.connect("grpc://" + grpc)
    request = ticket(export={"viewer": viewer, "run_id": run})
    query = urllib.parse.urlencode({"format": "EXPORT_FORMAT_PARQUET", "viewer": viewer})
    with urllib.request.urlopen(f"http://{http}/v1/experiments/{run}:export?{query}") as answer:
        file = answer.read()
    want = pq.read_table(io.BytesIO(file))
    assert want.num_rows == 1_000_000 and want.num_columns == 7, want.schema
    got = client.do_get(request).read_all()
    same(got, want, run)
    with pa.OSFile(written) as stream:
        same(pa.ipc.open_stream(stream).read_all(), want, written)
    frame = polars.from_arrow(client.do_get(request).read_all())
    assert frame.equals(polars.read_parquet(io.BytesIO(file))), frame
    flown = client.do_get(request).to_reader()  # DuckDB finds both by their names
    difference = duckdb.sql("SELECT count(*) FROM ((SELECT * FROM flown) EXCEPT ALL (SELECT * FROM want))").fetchall()
    assert difference == [(0,)], difference


def follow(client, request, limit=None):
    """Yields batches of points and the token after each, until limit points or the end."""
    points = 0
    reader = client.do_get(ticket(tail=request))
    for chunk in reader:
        message = json.loads(chunk.app_metadata.to_pybytes())
        yield chunk.data, message
        points += chunk.data.num_rows
        if limit and points >= limit:
            reader.cancel()
            return


def tail(grpc, run):
    client = fl.connect("grpc://" + grpc)
    batches, events, token = [], [], None
    request = {"run_ids": [run], "heartbeat_interval": "1s"}
    for limit in 40, None:
        for data, message in follow(client, dict(request, **({"resume_token": token} if token else {})), limit):
            token = message.get("resume_token", token)
            if data.num_rows:
                batches.append(data)
            else:
                events.append(message)
            if "caught_up" in message and limit:
                print("following", flush=True)
    assert events[-1]["end"]["reason"] == "END_REASON_FINISHED", events[-1]
    json.dump(pa.Table.from_batches(batches).select(["step", "metric", "value", "text"]).to_pylist(), sys.stdout)


def refused(grpc, run, token):
    client = fl.connect("grpc://" + grpc)
    request = ticket(export={"run_id": run})
    for call in (
        lambda: client.do_get(request).read_all(),
        lambda: list(client.list_flights()),
        lambda: client.get_flight_info(fl.FlightDescriptor.for_path(run)),
    ):
        try:
            call()
        except fl.FlightUnauthenticatedError as e:
            assert "[TOKEN_INVALID]" in str(e), e
        else:
            raise AssertionError("a call without a token is served")
    bearer = [(b"authorization", b"Bearer " + token.encode())]
    assert client.do_get(request, fl.FlightCallOptions(headers=bearer)).read_all().num_rows > 0
    try:
        client.do_get(ticket(export={"run_id": "nosuchrun"}), fl.FlightCallOptions(headers=bearer)).read_all()
    except KeyError as e:
        assert "[RUN_NOT_FOUND]" in str(e), e
    else:
        raise AssertionError("a run that does not exist is served")
    try:
        options = fl.FlightCallOptions(headers=bearer, timeout=1)
        for _ in client.do_get(ticket(tail={"filter": "run_id:*"}), options):
            pass
    except fl.FlightTimedOutError:
        pass
    else:
        raise AssertionError("the deadline of a tail has no effect")


if __name__ == "__main__":
    {"tables": tables, "large": large, "tail": tail, "refused": refused}[sys.argv[1]](*sys.argv[2:])
