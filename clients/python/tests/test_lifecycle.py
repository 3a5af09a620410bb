"""Forks, interrupts, abandoned iterators: nothing hangs, leaks or prints warnings."""

import asyncio
import gc
import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import runicorn_grpc as r

LIMIT = 60  # seconds, on a busy machine


def run_program(demo, body, interrupt=False):
    """Runs a program in a new process, which must succeed and print nothing on stderr."""
    program = "import runicorn_grpc as r, sys, os, time\nclient = r.Client(%r)\nrun = client.experiments(status='running').to_list()[0]\n" % demo.grpc
    process = subprocess.Popen([sys.executable, "-W", "error", "-c", program + textwrap.dedent(body)], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        if interrupt:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.5)  # the program now waits in the call
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
        process.wait()
    return process.returncode, out, err


@pytest.mark.parametrize("body", [
    "next(client.tail(run))",
    "tail = client.tail(run, start='now', heartbeat=1); next(tail)",
    "it = iter(client.experiments()); next(it)",
    "import threading; t = threading.Thread(target=list, args=(client.tail(run),), daemon=True); t.start(); time.sleep(0.3)",
    """
    import asyncio
    async def main():
        a = r.AsyncClient(client._transport.settings.address)
        async for _ in a.tail(run):
            break
        async for _ in a.experiments():
            return
    asyncio.run(main())
    """,
], ids=["tail", "quiet tail", "list", "thread", "asyncio"])
def test_a_program_that_closes_nothing_ends(demo, body):
    code, _, err = run_program(demo, body)
    assert code == 0 and not err.strip(), err


@pytest.mark.parametrize("body", [
    "print('ready', flush=True)\nfor _ in client.tail(run, start='now', metrics=['none'], heartbeat=60): pass",
    "print('ready', flush=True)\nfor _ in client.watch('name = nothing', heartbeat=60): pass",
    "import asyncio\nasync def main():\n    a = r.AsyncClient(client._transport.settings.address)\n    print('ready', flush=True)\n"
    "    async for _ in a.tail(run, start='now', metrics=['none'], heartbeat=60): pass\nasyncio.run(main())",
    "c = r.Client('127.0.0.1:1', retries=1000)\nprint('ready', flush=True)\nc.viewers().to_list()",
], ids=["tail", "watch", "asyncio", "backoff"])
def test_an_interrupt_ends_a_program(demo, body):
    code, _, err = run_program(demo, body, interrupt=True)
    assert code != 0 and err.rstrip().endswith("KeyboardInterrupt"), err


def test_an_interrupted_tail_can_be_iterated_again(demo):
    code, out, err = run_program(demo, """
        tail = client.tail(run, ['train/loss'], heartbeat=60)
        steps = []
        for attempt in range(3):
            try:
                for point in tail.points():
                    steps.append(point.step)
                    if len(steps) % 100 == 0:
                        raise KeyboardInterrupt
                    if len(steps) == 350:
                        break
            except KeyboardInterrupt:
                pass
        print('ready', steps[0], len(steps) == len(set(steps)))
        """)
    assert (code, out) == (0, "ready 1 True\n"), err


FORK = """
tail = client.tail(run, heartbeat=1)
next(tail)
pid = os.fork()
if pid == 0:
    assert client.experiments().to_list()
    assert client.history(run).point_count
    next(client.tail(run))
    import asyncio
    async def main():
        async with r.AsyncClient(client._transport.settings.address) as a:
            assert await a.experiments().to_list()
    asyncio.run(main())
    print("child", flush=True)
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
for _ in range(3):
    next(tail)
print("parent", len(client.experiments().to_list()) > 0)
"""


def test_a_client_works_on_both_sides_of_a_fork(demo):
    code, out, err = run_program(demo, FORK)
    assert (code, out) == (0, "child\nparent True\n"), err


def test_a_pool_of_forked_processes_shares_a_client(demo):
    code, out, err = run_program(demo, """
        import multiprocessing
        def count(_):
            return len(client.experiments().to_list())
        with multiprocessing.get_context('fork').Pool(3) as pool:
            print(len(set(pool.map(count, range(9)))))
        """)
    assert (code, out) == (0, "1\n"), err


def test_abandoned_tails_leave_no_thread_and_no_call(client, live, demo):
    def calls():
        import re
        import urllib.request

        text = urllib.request.urlopen(f"http://{demo.http}/metrics").read().decode()
        totals = [sum(float(v) for v in re.findall(rf'^grpc_server_{what}_total\{{.*grpc_method="TailMetrics".*\}} (\S+)$', text, re.M)) for what in ("started", "handled")]
        return totals[0] - totals[1]

    for _ in range(10):
        next(client.tail(live, heartbeat=1))
    gc.collect()
    deadline = time.monotonic() + LIMIT
    while calls() or any(t.name == "runicorn-grpc-watchdog" for t in threading.enumerate()):
        assert time.monotonic() < deadline, (calls(), threading.enumerate())
        time.sleep(0.1)


def test_a_cancelled_iteration_goes_on(demo, live):
    async def main():
        async with r.AsyncClient(demo.grpc) as client:
            tail = client.tail(live, ["train/loss"])
            steps = []
            for enough in (20, 40, 60):
                try:
                    async with asyncio.timeout(0.5 if enough < 60 else None):
                        async for point in tail.points():
                            steps.append(point.step)
                            if len(steps) >= enough * 1000:
                                break
                            if enough == 60 and point.step > 100:
                                break
                except TimeoutError:
                    pass
            assert len(steps) == len(set(steps)) and steps == sorted(steps)
            task = asyncio.create_task(anext(client.watch("name = nothing", heartbeat=60)))
            await task  # synced
            waiting = client.watch("name = nothing", heartbeat=60)
            await anext(waiting)
            task = asyncio.create_task(anext(waiting))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


class Proxy:
    """Forwards TCP, and resets all connections on demand."""

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.connections, self.resets = [], 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                host, port = self.target.split(":")
                far = socket.create_connection((host, int(port)))
            except OSError:
                near.close()
                continue
            self.connections += [near, far]
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.pass_on, args=(a, b), daemon=True).start()

    def pass_on(self, a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass

    def reset(self):
        connections, self.connections = self.connections, []
        for s in connections:
            try:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        self.resets += len(connections) // 2

    def close(self):
        self.listener.close()
        self.reset()


def continuous(points, faults, enough):
    """Consumes a tail's points, and injects a fault from time to time."""
    steps = []
    for point in points:
        steps.append(point.step)
        if faults and point.step >= faults[0][0]:
            faults.pop(0)[1]()
        if not faults and point.step >= enough:
            break
    assert steps == list(range(1, len(steps) + 1))


def test_each_point_comes_once_through_a_proxy_that_resets(demo):
    proxy = Proxy(demo.grpc)
    try:
        with r.Client(proxy.address) as client:
            run = client.experiments(status="running").to_list()[0]
            last = client.history(run, ["train/loss"])["train/loss"].steps[-1]
            faults = [(last * part, proxy.reset) for part in (0.1, 0.5, 0.9, 1)] + [(last + 3, proxy.reset)]
            continuous(client.tail(run, ["train/loss"]).points(), faults, last + 6)
            assert proxy.resets >= 3
    finally:
        proxy.close()


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_each_point_comes_once_over_a_freeze(own_server, kind):
    """The server hangs for longer than two heartbeats, so that the client cancels the stream."""
    def freeze():
        own_server.process.send_signal(signal.SIGSTOP)
        threading.Timer(3, own_server.process.send_signal, [signal.SIGCONT]).start()

    with r.Client(own_server.grpc) as client:
        run = client.experiments(status="running").to_list()[0]
        last = client.history(run, ["train/loss"])["train/loss"].steps[-1]
        if kind == "blocking":
            continuous(client.tail(run, ["train/loss"], heartbeat=1).points(), [(last + 2, freeze)], last + 6)
            return

    async def main():
        async with r.AsyncClient(own_server.grpc) as client:
            steps, frozen = [], False
            async for point in client.tail(run, ["train/loss"], heartbeat=1).points():
                steps.append(point.step)
                if point.step == last + 2 and not frozen:
                    frozen = True
                    freeze()
                if point.step >= last + 6:
                    break
            assert frozen and steps == list(range(1, len(steps) + 1))

    asyncio.run(main())


def test_connections_of_silent_streams_are_closed(own_server):
    """Repeated attempts to reach a server that hangs leak nothing."""
    def connections():
        return sum(os.readlink(f"/proc/self/fd/{fd}").startswith("socket:") for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}"))

    with r.Client(own_server.grpc) as client:
        run = client.experiments(status="running").to_list()[0]
        tail = client.tail(run, start="now", heartbeat=1, give_up_after=2)
        next(tail)
        before = connections()
        own_server.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(r.ConnectionError):
                list(tail)
        finally:
            own_server.process.send_signal(signal.SIGCONT)
        del tail
        deadline = time.monotonic() + LIMIT
        while connections() > before:
            assert time.monotonic() < deadline
            gc.collect()
            time.sleep(0.1)


def test_a_closed_client_says_so(demo):
    client = r.Client(demo.grpc)
    client.viewers().to_list()
    tail = client.tail(client.experiments(status="running").to_list()[0])
    next(tail)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.viewers().to_list()
    with pytest.raises((RuntimeError, r.RunicornError)):
        list(tail)
    client.close()


def test_the_blocking_client_works_inside_an_event_loop(demo):
    async def main():  # as in a notebook
        with r.Client(demo.grpc) as client:
            return len(client.experiments().to_list())

    assert asyncio.run(main())
    assert os.getpid()
