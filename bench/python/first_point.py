"""Prints the first live point of the demo: first_point.py COMMAND. COMMAND is the
runicorn-grpc that pip installed."""

import subprocess
import sys

import runicorn_grpc

server = subprocess.Popen([sys.argv[1], "--demo", "--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
try:
    address = next(line.split()[1] for line in server.stdout if line.startswith("gRPC "))
    with runicorn_grpc.Client(address) as client:
        run = client.experiments(status="running", limit=1).to_list()[0]
        print(next(client.tail(run, start="now").points()))
finally:
    server.terminate()
    server.wait()
