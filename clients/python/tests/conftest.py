"""Starts servers with the demo's Viewers. RUNICORN_GRPC_BINARY is the server."""

import os
import re
import signal
import socket
import subprocess

import pytest

import runicorn_grpc as r

BINARY = os.environ.get("RUNICORN_GRPC_BINARY", "runicorn-grpc")


class Server:
    """A server on ports of its own, which stay the same over restarts."""

    def __init__(self, *flags: str) -> None:
        self.flags = flags or ("--demo",)
        self.grpc, self.http = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [BINARY, f"--grpc-addr={self.grpc}", f"--http-addr={self.http}", "--end-grace=1s", *self.flags],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            if re.match(r"HTTP +", line):
                return
        raise RuntimeError(f"the server ended: {self.process.wait()}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(30)
        self.process.stdout.close()

    def restart(self, how: signal.Signals) -> None:
        self.stop(how)
        self.start()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


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
