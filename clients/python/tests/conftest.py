"""Starts servers with the demo's Viewers. RUNICORN_GRPC_BINARY is the server."""

import os
import re
import signal
import subprocess

import pytest

import runicorn_grpc as r

BINARY = os.environ.get("RUNICORN_GRPC_BINARY", "runicorn-grpc")


class Server:
    """A server on ports that the system chose: grpc and http are its addresses."""

    def __init__(self, *flags: str) -> None:
        command = [BINARY, "--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--end-grace=1s", *(flags or ["--demo"])]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            if found := re.match(r"gRPC +(\S+)", line):
                self.grpc = found[1]
            if found := re.match(r"HTTP +https?://([^/]+)/", line):
                self.http = found[1]
                return
        self.process.stdout.close()
        raise RuntimeError(f"the server ended: {self.process.wait()}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="session")
def demo():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def own_server():
    server = Server()
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture
def client(demo):
    with r.Client(demo.grpc) as c:
        yield c


@pytest.fixture
def live(client):
    """The demo's run that keeps training."""
    return client.experiments(status="running", limit=1).to_list()[0]


@pytest.fixture
def ended(client):
    """A run with NaN, texts and repeated steps that has ended."""
    return client.experiments(project="nlp", limit=1).to_list()[0]
