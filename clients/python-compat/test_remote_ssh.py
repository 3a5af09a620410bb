"""client.remote with a real SSH server, and a Viewer started on it."""

import json
import os
import pathlib
import socket

import pytest
import requests

import runicorn.api as api
from runicorn.api import BadRequestError, ConnectionError, NotFoundError, RemoteSession, ServerError

from conftest import GENERATION, HAS_REMOTE_FILES

PORT = int(os.environ.get("RUNICORN_COMPAT_SSH_PORT", "0"))
USER, HOST = os.environ.get("RUNICORN_COMPAT_SSH_USER"), "127.0.0.1"
pytestmark = pytest.mark.skipif(not PORT, reason="no SSH server")
covers = pytest.mark.covers
ID = f"{USER}@{HOST}:{PORT}"


def login(**others):
    return {"host": HOST, "port": PORT, "username": USER, "password": os.environ.get("RUNICORN_COMPAT_SSH_PASSWORD"), **others}


@pytest.fixture
def patient(url):
    """A client whose timeout is much shorter than the start of a remote Viewer."""
    with api.connect(url, timeout=3) as c:
        yield c


def ports():
    """Two free ports. By default Viewers choose the first free port from 8080 on.
    Those of the other generations do so at the same time on this machine, so two
    could choose the same port, and a test could reach the wrong Viewer."""
    with socket.socket() as a, socket.socket() as b:
        a.bind((HOST, 0))
        b.bind((HOST, 0))
        return {"local_port": a.getsockname()[1], "remote_port": b.getsockname()[1]}


def refused_passwords():
    log = pathlib.Path(os.environ["RUNICORN_COMPAT_SSH_LOG"]).read_text()
    return log.count("Failed password for ")


@covers("RemoteAPI.connect")
def test_an_unknown_host_key_is_told_and_can_be_accepted(patient, url, attempts):
    if GENERATION == "0.5.3":
        pytest.skip("0.5.3 accepts any host key")
    with pytest.raises(BadRequestError, match="HOST_KEY_UNKNOWN") as failure:
        patient.remote.connect(**login())
    assert len(attempts) == 1
    told = json.loads(str(failure.value).removeprefix("Bad request: "))
    (key,) = [d for d in told["details"] if d.pop("@type").endswith("HostKey")]
    requests.post(f"{url}/v1/remote/host_keys", json={"host_key": key}, timeout=10).raise_for_status()


@covers("RemoteAPI.connect")
def test_one_wrong_password_is_one_login_attempt(patient, attempts):
    before = refused_passwords()
    with pytest.raises(ConnectionError, match="401"):
        patient.remote.connect(**login(password="canary-wrong"))
    assert attempts == ["POST /api/remote/connect"]
    assert refused_passwords() == before + 1


@covers(
    "RemoteAPI.connect", "RemoteAPI.list_sessions", "RemoteAPI.start_viewer", "RemoteAPI.list_viewer_sessions",
    "RemoteAPI.get_remote_status", "RemoteAPI.stop_viewer", "RemoteAPI.disconnect",
    "RemoteAPI.list_remote_directory", "RemoteAPI.check_remote_path",
)
def test_a_remote_viewer_from_login_to_logout(patient, attempts):
    remote = patient.remote
    connection = remote.connect(**login())
    assert connection["connection_id"] == ID and connection["connected"]
    assert [s["connection_id"] for s in remote.list_sessions()] == [ID]

    home = os.environ["RUNICORN_COMPAT_SSH_HOME"]
    chosen = ports()
    session = remote.start_viewer(connection_id=HOST, remote_root=f"{home}/runs", **chosen)
    assert attempts.count("POST /api/remote/viewer/start") == 1
    model = RemoteSession.from_dict(session)
    assert (model.connection_id, model.remote_host, model.remote_root) == (ID, HOST, f"{home}/runs")
    assert {"local_port": model.local_port, "remote_port": model.remote_port} == chosen
    assert model.local_url == session["local_url"] and model.status == "running" and model.created_at > 1.7e9
    health = requests.get(f"http://{HOST}:{session['local_port']}/api/health", timeout=10).json()
    assert health["storage"] == f"{home}/runs"

    (listed,) = remote.list_viewer_sessions()
    assert (listed["session_id"], listed["connection_id"]) == (model.session_id, ID)
    status = remote.get_remote_status()
    assert (status["connection_count"], status["viewer_session_count"]) == (1, 1)

    if HAS_REMOTE_FILES:
        assert {"name": "runs", "is_dir": True}.items() <= {e["name"]: e for e in remote.list_remote_directory(HOST, home)}["runs"].items()
        assert remote.check_remote_path(ID, f"{home}/runs") is True
        assert remote.check_remote_path(HOST, f"{home}/none") is False
        with pytest.raises(NotFoundError):
            remote.list_remote_directory(ID, f"{home}/none")
    else:
        with pytest.raises(ServerError, match="VIEWER_LACKS_CAPABILITY"):
            remote.list_remote_directory(HOST, home)
        with pytest.raises(ServerError, match="VIEWER_LACKS_CAPABILITY"):
            remote.check_remote_path(ID, home)

    assert remote.stop_viewer(model.session_id)["ok"]
    with pytest.raises(NotFoundError):
        remote.stop_viewer(model.session_id)
    if remote.list_sessions():
        assert remote.disconnect(HOST)["connection_id"] == ID
    assert remote.list_sessions() == remote.list_viewer_sessions() == []


@covers("RemoteAPI.disconnect")
def test_a_logout_stops_what_was_started(patient):
    patient.remote.connect(**login())
    session = patient.remote.start_viewer(ID, os.environ["RUNICORN_COMPAT_SSH_HOME"] + "/runs", **ports())
    assert patient.remote.disconnect(HOST)["stopped_session_ids"] == [session["session_id"]]
    assert patient.remote.list_viewer_sessions() == []
