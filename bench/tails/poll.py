"""Polls a Viewer's table from many threads, once a second each, and prints the
99th percentile of the staleness: from the writing of a row to its arrival at a
client, for the newest row of each answer that has a new one."""
import json, sys, threading, time
import requests

url, clients, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ages, lock, end = [], threading.Lock(), time.time() + seconds


def poll():
    session, last = requests.Session(), None
    while time.time() < end:
        start = time.time()
        row = session.get(url, timeout=120).json()["rows"][-1]
        if last is not None and row["global_step"] != last:
            with lock:
                ages.append(time.time() - row["time"])
        last = row["global_step"]
        time.sleep(max(0, start + 1 - time.time()))


threads = [threading.Thread(target=poll) for _ in range(clients)]
for t in threads:
    t.start()
for t in threads:
    t.join()
ages.sort()
print(json.dumps(ages[int(0.99 * (len(ages) - 1))]))
