"""Tokens and the guard of the HTTP port apply to the client as well. It has no
parameter for a token, so the tests set the headers of its session."""

import os

import pytest
import requests

import runicorn.api as api
from runicorn.api import ConnectionError, NotFoundError

from conftest import URL

DEMANDING = os.environ.get("RUNICORN_COMPAT_DEMANDING_URL")
TOKEN = os.environ.get("RUNICORN_COMPAT_TOKEN", "")
needs_token_server = pytest.mark.skipif(not DEMANDING, reason="no server that requires a token")


@needs_token_server
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer canary-that-is-wrong-0123456789"}, {"Authorization": f"Basic {TOKEN}"}])
def test_without_the_token_nothing_but_health_is_answered(attempts, headers):
    with api.connect(DEMANDING) as client:
        client.session.headers.update(headers)
        calls = [
            client.list_experiments, client.list_projects, client.get_config, client.artifacts.list_artifacts,
            client.remote.list_sessions, lambda: client.get_run("any"), lambda: client.get_metrics("any"),
        ]
        for call in calls:
            with pytest.raises(ConnectionError, match="401"):
                call()
        with pytest.raises(requests.HTTPError, match="401"):
            client.export_experiment("any")
        assert client.health_check()["status"] == "healthy"
    assert len(attempts) == len(calls) + 3  # the export, and the health checks of connect and health_check


@needs_token_server
def test_with_the_token_a_reader_reads_and_changes_nothing(attempts):
    with api.connect(DEMANDING) as client:
        client.session.headers["Authorization"] = f"Bearer {TOKEN}"
        assert client.list_experiments() and client.list_projects() and client.get_config()
        with pytest.raises(NotFoundError):
            client.get_run("20200101_000000_abcdef")
        before = len(attempts)
        with pytest.raises(ConnectionError, match="403"):
            client.update_config({"user_root_dir": "/elsewhere"})
        with pytest.raises(ConnectionError, match="403"):
            client.remote.connect("127.0.0.1", username="nobody", password="canary-of-ssh")
        assert len(attempts) == before + 2


def test_a_foreign_name_or_page_is_refused():
    with api.connect(URL) as client:
        for headers, status in ({"Host": "evil.example"}, "421"), ({"Origin": "https://evil.example"}, "403"):
            client.session.headers.update(headers)
            with pytest.raises(ConnectionError, match=status):
                client.list_experiments()
            for name in headers:
                del client.session.headers[name]
        assert client.list_experiments()
