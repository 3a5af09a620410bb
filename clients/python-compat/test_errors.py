"""Each exception that the client can raise, and its number of attempts.

AuthenticationError is not among them: the client defines the class but never
raises it. For a refused token or login it raises ConnectionError."""

import http.server
import inspect
import threading

import pytest
import requests

import runicorn.api as api
from runicorn.api import AuthenticationError, BadRequestError, ConnectionError, NotFoundError, RunicornAPIError, ServerError

from conftest import DEMO

UNKNOWN = "20200101_000000_abcdef"

# The real servers have two more Viewers, which resource names select.
with_faults = pytest.mark.skipif(DEMO, reason="the demo's Viewers do not fail")
GONE = f"viewers/gone/experiments/{UNKNOWN}"  # nothing listens at its port
FAILING = f"viewers/failing/experiments/{UNKNOWN}"  # answers 500


def test_the_hierarchy_is_the_documented_one():
    for error in (ConnectionError, NotFoundError, BadRequestError, ServerError, AuthenticationError):
        assert issubclass(error, RunicornAPIError)


def test_the_client_never_raises_authentication_error():
    for module in (api.client, api.artifacts, api.remote, api.utils):
        assert "AuthenticationError" not in inspect.getsource(module)


def test_no_server_is_a_connection_error():
    with pytest.raises(ConnectionError, match="Failed to connect"):
        api.connect("http://127.0.0.1:1", max_retries=0)


def test_not_found_and_bad_request_are_tried_once(client, attempts):
    with pytest.raises(NotFoundError, match="Resource not found"):
        client.get_run(UNKNOWN)
    with pytest.raises(BadRequestError, match="run_id"):
        client.get_run("a/b")
    assert len(attempts) == 2


@with_faults
def test_a_viewer_that_is_gone_is_a_connection_error_at_once(client, attempts):
    with pytest.raises(ConnectionError, match="424"):
        client.get_run(GONE)
    with pytest.raises(requests.HTTPError, match="424"):
        client.export_experiment(GONE)
    assert len(attempts) == 2


@with_faults
def test_a_viewer_that_fails_is_a_server_error_at_once(client, attempts):
    with pytest.raises(ServerError, match="VIEWER_ERROR"):
        client.get_run(FAILING)
    with pytest.raises(requests.HTTPError, match="520"):
        client.export_experiment(FAILING)
    assert len(attempts) == 2


class Answers(http.server.BaseHTTPRequestHandler):
    """Responds with the status in the path, except for the health route."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = 200 if self.path == "/api/health" else int(self.path.rpartition("/")[2])
        body = b'{"status": "healthy"}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def answering():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    client = api.connect(f"http://127.0.0.1:{server.server_port}")
    client.session.adapters["http://"].max_retries.backoff_factor = 0
    yield client
    client.close()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("verb", ["get", "post", "put", "delete"])
@pytest.mark.parametrize(
    "status, error, tries",
    [
        (400, BadRequestError, 1), (404, NotFoundError, 1), (501, ServerError, 1), (520, ServerError, 1),
        (401, ConnectionError, 1), (403, ConnectionError, 1), (409, ConnectionError, 1), (413, ConnectionError, 1),
        (424, ConnectionError, 1), (429, ConnectionError, 1),
        (500, ConnectionError, 4), (502, ConnectionError, 4), (503, ConnectionError, 4), (504, ConnectionError, 4),
    ],
)
def test_what_the_client_does_with_each_status(answering, attempts, verb, status, error, tries):
    """The reason why the server responds with 424 and 520: the client sends the
    last four rows four times, including POST, and then raises ConnectionError."""
    with pytest.raises(error):
        getattr(answering, verb)(f"/api/{status}")
    assert len(attempts) == tries
