"""Every method of client.remote without an SSH server; test_remote_ssh.py has the
tests with a real one."""

import socket
import threading

import pytest

import runicorn.api as api
from runicorn.api import BadRequestError, ConnectionError, NotFoundError, ServerError

from conftest import DEMO, GENERATION, HAS_REMOTE_FILES, needs_real

covers = pytest.mark.covers
PASSWORD = "correct-horse-271828"


def closed_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@covers("RemoteAPI.connect")
def test_a_refused_connection_is_tried_once(client, attempts, note):
    with pytest.raises(ConnectionError) as failure:
        client.remote.connect("127.0.0.1", port=closed_port(), username="nobody", password=PASSWORD)
    assert attempts == ["POST /api/remote/connect"]
    assert PASSWORD not in str(failure.value)
    assert client.remote.list_sessions() == []
    if DEMO:
        note("ConnectionError")


@covers("RemoteAPI.connect")
@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"host": "127.0.0.1"}, "username"),
        ({"host": "", "username": "u"}, "host"),
        ({"host": "127.0.0.1", "username": "u", "port": 0}, "port"),
        ({"host": "127.0.0.1", "username": "u", "port": 70000}, "port"),
        ({"host": "127.0.0.1", "username": "u", "password": 271828}, "password"),
    ],
)
def test_a_bad_login_is_refused_by_its_field(client, attempts, arguments, word):
    with pytest.raises(BadRequestError, match=word) as failure:
        client.remote.connect(**arguments)
    assert len(attempts) == 1 and "271828" not in str(failure.value)


@covers("RemoteAPI.connect")
def test_a_key_file_on_the_viewers_machine_needs_the_operators_leave(client, attempts):
    with pytest.raises(ConnectionError, match="403"):
        client.remote.connect("127.0.0.1", username="u", private_key_path="/root/.ssh/id", passphrase=PASSWORD)
    assert len(attempts) == 1


@covers("RemoteAPI.connect")
@needs_real
def test_a_silent_server_is_tried_once_however_short_the_clients_patience(url, attempts):
    """Viewers wait 15 to 30 s for it. A client that received nothing within its
    timeout would send the login again three times."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        peers = []

        def accept():
            while True:
                try:
                    peers.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            with api.connect(url, timeout=5) as impatient, pytest.raises(ConnectionError, match="424"):
                impatient.remote.connect("127.0.0.1", port=listener.getsockname()[1], username="u", password=PASSWORD)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join()
            for peer in peers:
                peer.close()
    assert attempts.count("POST /api/remote/connect") == 1
    if GENERATION != "0.7.2":  # 0.7.2 requests the host key over a separate connection
        assert len(peers) == 1


@covers("RemoteAPI.disconnect")
def test_a_host_without_a_connection_is_not_found(client, attempts, note):
    with pytest.raises(NotFoundError):
        client.remote.disconnect("no-such-host")
    assert len(attempts) == 1
    if DEMO:
        note("NotFoundError")


@covers("RemoteAPI.list_sessions", "RemoteAPI.list_viewer_sessions")
def test_without_connections_there_are_no_sessions(client):
    assert client.remote.list_sessions() == []
    assert client.remote.list_viewer_sessions() == []


@covers("RemoteAPI.get_remote_status")
def test_the_status_counts_both(client):
    assert client.remote.get_remote_status() == {
        "connections": [], "connection_count": 0, "viewer_sessions": [], "viewer_session_count": 0,
    }


@covers("RemoteAPI.start_viewer")
def test_a_remote_viewer_needs_a_connection(client, attempts, note):
    with pytest.raises(NotFoundError):
        client.remote.start_viewer("no-such-host", "/data/runicorn")
    with pytest.raises(NotFoundError):
        client.remote.start_viewer("u@no-such-host:22", "/data/runicorn", local_port=8081, remote_port=8080)
    with pytest.raises(BadRequestError, match="remote_root"):
        client.remote.start_viewer("no-such-host", "")
    assert len(attempts) == 3
    if DEMO:
        note("NotFoundError")


@covers("RemoteAPI.stop_viewer")
def test_an_unknown_session_is_not_found(client, attempts, note):
    with pytest.raises(NotFoundError):
        client.remote.stop_viewer("nosuchid")
    assert len(attempts) == 1
    if DEMO:
        note("NotFoundError")


@covers("RemoteAPI.list_remote_directory", "RemoteAPI.check_remote_path")
@pytest.mark.parametrize("call", ["list_remote_directory", "check_remote_path"])
def test_remote_files_need_a_connection(client, note, call):
    with pytest.raises(NotFoundError):
        getattr(client.remote, call)("no-such-host", "/tmp")
    # The Viewer checks the id; 0.7 no longer has these routes.
    if HAS_REMOTE_FILES:
        with pytest.raises(NotFoundError):
            getattr(client.remote, call)("u@no-such-host:22", "/tmp")
    else:
        with pytest.raises(ServerError, match="VIEWER_LACKS_CAPABILITY"):
            getattr(client.remote, call)("u@no-such-host:22", "/tmp")
        note("ServerError")


@covers("RemoteAPI.list_remote_directory", "RemoteAPI.check_remote_path")
@pytest.mark.skipif(DEMO, reason="the same as 0.7.2")
def test_remote_files_need_a_whole_id(client):
    for bad in ("", "u@:22", "u@host:port"):
        with pytest.raises(BadRequestError, match="connection_id"):
            client.remote.list_remote_directory(bad, "/tmp")
