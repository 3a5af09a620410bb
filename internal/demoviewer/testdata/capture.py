"""Creates sample data with one Runicorn release and records the answers of its real Viewer.

Run it with the Python of a virtual environment that holds that release:

    venv/bin/python testdata/capture.py --out data/0.7.2

It writes OUT/answers.json (one object per request: method, path, send, status, headers, body) and
OUT/files/ (the files of every run, as the SDK wrote them). Host names and paths are replaced, so
that two machines give the same kind of data. Requests that change something come last.
"""
import argparse, atexit, json, os, platform, shutil, socket, subprocess, sys, tempfile, time
import urllib.error, urllib.parse, urllib.request

args = argparse.ArgumentParser(description=__doc__)
args.add_argument("--out", required=True)
args.add_argument("--port", type=int, default=23970)
args = args.parse_args()
OUT = os.path.abspath(args.out)

WORK = tempfile.mkdtemp(prefix="rncapture")
HOME, ROOT, DATA = (os.path.join(WORK, d) for d in ("home", "storage", "work"))
for d in (HOME, ROOT, DATA):
    os.makedirs(d)
ENV = {"HOME": HOME, "RUNICORN_DIR": ROOT, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8",
       "RUNICORN_DISABLE_TELEMETRY": "1"}
os.environ.update(ENV)
os.chdir(DATA)
import sample  # noqa: E402  (the SDK reads the environment)

IDS = MAIN, FAILED, ODD, PPO, EMPTY = sample.make()

viewer = subprocess.Popen([os.path.join(os.path.dirname(sys.executable), "runicorn"), "viewer", "--host", "127.0.0.1",
                           "--port", str(args.port)], env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
atexit.register(viewer.kill)
BASE = f"http://127.0.0.1:{args.port}"
HEADERS = ("content-type", "x-row-count", "x-total-count", "x-last-step", "content-range", "content-disposition",
           "accept-ranges", "allow", "location")
SCRUB = [(ROOT, "/demo/storage"), (HOME, "/demo/home"), (DATA, "/demo/work"), (WORK, "/demo"),
         (sys.prefix, "/demo/python"), (sys.base_prefix, "/demo/python"), (socket.gethostname(), "demo-host"),
         (platform.release(), "6.1.0"), (platform.version(), "#1 SMP"), (urllib.parse.quote(ROOT, safe=""), "%2Fdemo%2Fstorage")]


def scrub(text):
    for real, shown in SCRUB:
        text = text.replace(real, shown)
    return text


def ask(method, path, send=None, headers=None):
    data = None if send is None else json.dumps(send).encode()
    req = urllib.request.Request(BASE + path, data=data, method=method, headers=headers or {})
    if data is not None:
        req.add_header("Content-Type", "application/json")
    try:
        resp = urllib.request.urlopen(req, timeout=60)
    except urllib.error.HTTPError as err:
        resp = err
    raw = resp.read()
    text = scrub(raw.decode("utf-8", "replace")) if raw[:2] != b"PK" else "PK"
    body = text if len(text) < 4000 else text[:200]
    if text and "json" in resp.headers.get("content-type", ""):
        body = json.loads(text)
    got = {"method": method, "path": scrub(path), "status": resp.status,
           "headers": {k: scrub(v) for k, v in resp.headers.items() if k.lower() in HEADERS}, "body": body}
    if send is not None:
        got["send"] = json.loads(scrub(json.dumps(send)))
    if headers:
        got["sent_headers"] = headers
    return got


for _ in range(100):
    try:
        urllib.request.urlopen(BASE + "/api/health", timeout=5)
        break
    except OSError:
        time.sleep(0.2)
time.sleep(2)  # 0.7.2 copies run folders into its database after start
description = ask("GET", "/openapi.json")["body"]
paths = description["paths"]
answers = []


def record(method, path, send=None, headers=None):
    answers.append(ask(method, path, send, headers))
    return answers[-1]["body"]


def route(method, template, path=None, send=None):
    """Records a route that this release has."""
    return record(method, path or template, send) if method.lower() in paths.get(template, {}) else None


answers.append({"method": "GET", "path": "/openapi.json", "status": 200, "headers": {}, "body": {
    "info": {"version": description["info"]["version"]}, "paths": {
    p: {m: {"operationId": o.get("operationId", "")} for m, o in ops.items()} for p, ops in paths.items()}}})
for p in ("health", "config", "runs", "projects", "recycle-bin", "metrics/cache/stats", "gpu/telemetry",
          "gpu/telemetry/history", "gpu/telemetry/config", "system/monitor", "system/temperatures", "storage/stats",
          "remote/status", "remote/sessions", "remote/viewer/sessions", "remote/known-hosts/list",
          "remote/connections/saved", "config/ssh_connections", "config/column-widths", "config/dismissed-alerts",
          "diagnostics/sources", "paths", "paths/tree", "paths/runs", "artifacts", "artifacts/stats"):
    route("GET", "/api/" + p)
route("GET", "/api/paths", "/api/paths?include_stats=true")
for q in ("path=vision", "path=vision&exact=true", "path=nope", "path=rl/ppo&exact=maybe"):
    route("GET", "/api/paths/runs", "/api/paths/runs?" + q)
for q in ("path=nlp", "path=nope", "path=nlp&format=csv", "exact=true"):
    route("GET", "/api/paths/export", "/api/paths/export?" + q)
for p in ("vision", "nope"):
    route("GET", "/api/projects/{project}/names", f"/api/projects/{p}/names")
    route("GET", "/api/projects/{project}/names/{name}/runs", f"/api/projects/{p}/names/resnet/runs")
for i in [*IDS, "20200101_000000_abcdef", "nope"]:
    for t in ("", "/metrics_step", "/progress", "/images", "/assets", "/assets/refs", "/artifacts"):
        route("GET", "/api/runs/{run_id}" + t, f"/api/runs/{i}{t}")
    route("GET", "/api/environment/{run_id}", f"/api/environment/{i}")
for q in ("100", "99", "50001", "x", ""):
    record("GET", f"/api/runs/{MAIN}/metrics_step?downsample={q}")
record("GET", f"/api/runs/{PPO}/metrics_step?downsample=100")
for p in ("/api/experiments", "/api/runs/", "/nope", f"/api/runs/{MAIN}/nope", "/api/runs/a%2Fb"):
    record("GET", p)
record("HEAD", "/api/runs")
for m, p in (("POST", "/api/runs"), ("PUT", "/api/config"), ("POST", "/api/export"), ("DELETE", f"/api/runs/{MAIN}"),
             ("POST", f"/api/runs/{MAIN}/assets/download")):
    record(m, p, {})
route("GET", "/api/export/{run_id}/csv", f"/api/export/{MAIN}/csv")
route("GET", "/api/export/{run_id}/report", f"/api/export/{MAIN}/report")
route("GET", "/api/experiments/search", "/api/experiments/search?project=vision")
for p in ("", "resnet-model", "cifar-mini", "nope"):
    if "/api/artifacts" not in paths:
        break
    if not p:
        record("GET", "/api/artifacts?type=dataset"), record("GET", "/api/artifacts?type=nope")
        continue
    for t in ("versions", "training-metrics", "performance-history", "evaluations"):
        record("GET", f"/api/artifacts/{p}/{t}")
    for v in ("v1", "v2", "v3", "v0", "v99", "vx"):
        for t in ("", "/files", "/lineage"):
            record("GET", f"/api/artifacts/{p}/{v}{t}")

dirs = {r["id"]: r["run_dir"] for r in json.load(urllib.request.urlopen(BASE + "/api/runs"))}
FILES = {}
for i, d in dirs.items():
    FILES[i] = {}
    for folder, _, names in os.walk(d):
        for n in names:
            if not n.endswith(".lock") and not n.startswith("."):
                with open(os.path.join(folder, n), "rb") as f:
                    FILES[i][os.path.relpath(os.path.join(folder, n), d)] = f.read()
if "/api/runs/{run_id}/assets/download" in paths:
    def download(path, rng=None, run=MAIN, more=""):
        q = urllib.parse.quote(path, safe="")
        record("GET", f"/api/runs/{run}/assets/download?path={q}{more}", None, {"Range": rng} if rng else None)

    events = dirs[MAIN] + "/events.jsonl"
    size = os.path.getsize(events)
    for rng in (None, "bytes=0-0", "bytes=-40", f"bytes={size - 1}-", f"bytes={size}-", f"bytes={size + 9}-",
                "bytes=5-2", "bytes=a-b", "lines=0-1", "bytes=-0"):
        download(events, rng)
    download(events, more="&filename=x%20y.jsonl")
    for path in (dirs[MAIN] + "/media/" + sorted(os.listdir(dirs[MAIN] + "/media"))[0], dirs[MAIN] + "/nothing",
                 "events.jsonl", "/etc/hostname", dirs[ODD] + "/events.jsonl", dirs[MAIN] + "/logs.txt",
                 dirs[MAIN], dirs[MAIN] + "/../../resnet/" + MAIN + "/status.json"):
        download(path)
    download(dirs[MAIN] + "/logs.txt", run="nope")
    record("GET", f"/api/runs/{MAIN}/assets/download")
record("GET", f"/api/runs/{MAIN}/metrics")  # the page is asked again below, after changes

MISSING = "20200101_000000_abcdef"
record("POST", "/api/status/check")
route("PATCH", "/api/runs/{run_id}", f"/api/runs/{MAIN}", {"alias": " best ", "tags": ["gpu", " ", "paper, v2"]})
route("PATCH", "/api/runs/{run_id}", f"/api/runs/{MAIN}", {"alias": None})
route("PATCH", "/api/runs/{run_id}", f"/api/runs/{PPO}", {"alias": "", "tags": []})
for i, s in ((MAIN, {"alias": 3}), (MAIN, {"tags": "x"}), (MAIN, [1]), ("nope", {}), (MISSING, {})):
    route("PATCH", "/api/runs/{run_id}", f"/api/runs/{i}", s)
record("GET", "/api/runs")
for p in ("runs/soft-delete", "recycle-bin/restore", "runs/permanent-delete"):
    for s in ({"run_ids": []}, {}, {"run_ids": ["bad"]}, {"run_ids": MAIN}, {"run_ids": [MISSING]}, [1],
              {"run_ids": [f"20200101_000000_{n:06x}" for n in range(101)]}):
        route("POST", "/api/" + p, None, s)
record("POST", "/api/runs/soft-delete")
for s in ({"run_ids": [PPO, MISSING]}, {"run_ids": [PPO]}):
    record("POST", "/api/runs/soft-delete", s)
record("GET", "/api/recycle-bin"), record("GET", f"/api/runs/{PPO}"), record("GET", f"/api/runs/{PPO}/metrics_step")
route("GET", "/api/runs/{run_id}/assets/refs", f"/api/runs/{PPO}/assets/refs")
record("POST", "/api/recycle-bin/restore", {"run_ids": [PPO, MISSING, MAIN]})
for q in ("?dry_run=true", "?dry_run=x"):
    route("DELETE", "/api/runs/{run_id}/permanent", f"/api/runs/{MAIN}/permanent{q}")
for i in ("nope", MISSING):
    route("DELETE", "/api/runs/{run_id}/permanent", f"/api/runs/{i}/permanent")
route("POST", "/api/runs/permanent-delete", None, {"run_ids": [FAILED, MISSING], "dry_run": True})
route("POST", "/api/paths/soft-delete", None, {"path": "rl/ppo"})
for s in ({"path": "nope"}, {}, {"path": "rl", "exact": True}):
    route("POST", "/api/paths/soft-delete", None, s)
route("GET", "/api/paths"), record("GET", "/api/recycle-bin")
record("POST", "/api/recycle-bin/empty", {"confirm": False}), record("POST", "/api/recycle-bin/empty", {"confirm": True})
route("DELETE", "/api/runs/{run_id}/permanent", f"/api/runs/{MAIN}/permanent")
for s in ({"path": "new/folder"}, {"path": "new/folder"}, {"path": "../x"}, {"path": ""}, {"path": "a*b"}):
    route("POST", "/api/paths/create", None, s)
for s in ({"run_ids": [ODD, MISSING, "bad"], "target_path": "moved/here"}, {"run_ids": [], "target_path": "x"},
          {"run_ids": [ODD], "target_path": ""}, {"run_ids": [ODD]}, {"run_ids": [ODD], "target_path": "../x"}):
    route("POST", "/api/runs/move", None, s)
route("POST", "/api/runs/export", None, {"run_ids": [ODD]}), route("POST", "/api/runs/export", None, {"run_ids": []})
route("POST", "/api/runs/export", None, {"run_ids": [MISSING]})
for s in ({"to_stage": "production"}, {"to_stage": "staging"}, {"to_stage": "production"}, {"to_stage": "x"}, {}):
    route("POST", "/api/artifacts/{name}/v{version}/promote", "/api/artifacts/resnet-model/v2/promote", s)
route("POST", "/api/artifacts/{name}/v{version}/promote", "/api/artifacts/nope/v1/promote", {"to_stage": "staging"})
if "/api/artifacts" in paths:
    for p in ("/api/artifacts", "/api/artifacts/resnet-model/versions", "/api/artifacts/resnet-model/v2",
              "/api/artifacts/resnet-model/v2/files", "/api/artifacts/resnet-model/v2/lineage", f"/api/runs/{MAIN}/artifacts"):
        record("GET", p)
    for q in ("v1", "v1?permanent=true", "v1?permanent=true", "v99"):
        record("DELETE", "/api/artifacts/resnet-model/" + q)
    for p in ("", "/stats", "/resnet-model/versions", "/resnet-model/v1"):
        record("GET", "/api/artifacts" + p)
DEAD = {"host": "127.0.0.1", "port": 9, "username": "demo", "password": "x", "use_agent": False}
record("POST", "/api/remote/connect", DEAD), record("POST", "/api/remote/connect", {"port": 9})
record("POST", "/api/remote/connect", {"host": "h", "username": "u", "port": "x"})
record("POST", "/api/remote/disconnect", DEAD), record("POST", "/api/remote/disconnect", {"host": "h"})
record("POST", "/api/remote/viewer/start", {**DEAD, "remote_root": "/data"})
record("POST", "/api/remote/viewer/start", DEAD), record("POST", "/api/remote/viewer/stop", {"session_id": "nope"})
record("POST", "/api/remote/viewer/stop", {}), record("GET", "/api/remote/viewer/status/nope")
for p in ("fs/list", "fs/exists", "conda-envs", "config", "env-configs", "storage-candidates"):
    for q in ("", "?connection_id=bogus&path=/", "?connection_id=u@h:22&path=/"):
        route("GET", "/api/remote/" + p, f"/api/remote/{p}{q}")
KEY = {"host": "h", "port": 22, "key_type": "ssh-ed25519"}
for s in ({**KEY, "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPn8sYVnq1M0pEO1sJ0y9Y5mQ0m5yqmq4R7e2T7Yw1aB",
           "fingerprint_sha256": "SHA256:x"}, KEY):
    route("POST", "/api/remote/known-hosts/accept", None, s)
for s in (KEY, {}):
    route("POST", "/api/remote/known-hosts/remove", None, s)
SAVED = {"host": "gpu.example", "port": 2222, "username": "ada", "name": "lab", "remember_password": False,
         "auth_method": "key", "private_key_path": "/demo/key"}
record("POST", "/api/config/ssh_connections", SAVED), record("GET", "/api/config/ssh_connections")
record("POST", "/api/config/ssh_connections", [1]), record("DELETE", "/api/config/ssh_connections/gpu.example:2222@ada")
record("GET", "/api/config/ssh_connections"), record("POST", "/api/remote/connections/saved", [SAVED])
record("GET", "/api/remote/connections/saved"), record("POST", "/api/remote/connections/saved", {"connections": []})
os.makedirs(WORK + "/other")
for s in ({"path": WORK + "/other"}, {"path": "/proc/none"}, {}):
    record("POST", "/api/config/user_root_dir", s), record("GET", "/api/config")
record("GET", "/api/runs"), record("GET", "/api/health")

viewer.terminate()
viewer.wait(20)
out = OUT
shutil.rmtree(out, ignore_errors=True)
os.makedirs(out)
with open(os.path.join(out, "answers.json"), "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(a, ensure_ascii=False) for a in answers) + "\n]\n")
for run_id, files in FILES.items():
    for name, raw in files.items():
        path = os.path.join(out, "files", run_id, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(raw if name.endswith(".png") else scrub(raw.decode()).encode())
shutil.rmtree(WORK)
