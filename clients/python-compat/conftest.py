"""What the tests share: the server's URL, the seeded runs, a count of HTTP
attempts, and the report from which compat_test.go makes the table of README.md.

Environment variables:
  RUNICORN_COMPAT_URL         the server's HTTP address
  RUNICORN_COMPAT_GENERATION  0.5.3, 0.6.0, 0.7.2, or demo
  RUNICORN_COMPAT_RUNS        a JSON file of the seeded runs by key (not in demo)
  RUNICORN_COMPAT_REPORT      the file to write the report to
"""

import collections
import json
import os
import pathlib

import pytest
import urllib3.connectionpool

import runicorn.api as api

URL = os.environ.get("RUNICORN_COMPAT_URL", "http://127.0.0.1:23311")
GENERATION = os.environ.get("RUNICORN_COMPAT_GENERATION", "demo")
DEMO = GENERATION == "demo"
HAS_ARTIFACTS = GENERATION == "0.5.3"
HAS_PATHS = not HAS_ARTIFACTS
HAS_REMOTE_FILES = GENERATION in ("0.5.3", "0.6.0")

needs_real = pytest.mark.skipif(DEMO, reason="the demo has no such run")
needs_artifacts = pytest.mark.skipif(not HAS_ARTIFACTS, reason="this generation has no artifacts")
needs_paths = pytest.mark.skipif(not HAS_PATHS or DEMO, reason="this generation has no paths")


@pytest.fixture(scope="session")
def url():
    return URL


@pytest.fixture
def client():
    with api.connect(URL) as c:
        yield c


@pytest.fixture(scope="session")
def runs():
    """The ids of the seeded runs by key; in demo, of those that the tests need."""
    if not DEMO:
        seeded = json.loads(pathlib.Path(os.environ["RUNICORN_COMPAT_RUNS"]).read_text())
        return {key: run["run_id"] for key, run in seeded.items()}
    with api.connect(URL) as c:
        by_place = {(e["project"], e["name"], e["status"]): e["id"] for e in c.list_experiments()}
    return {
        "basic": by_place["rl", "ppo", "interrupted"],
        "sparse": by_place["nlp", "bert", "finished"],
        "empty": by_place["rl", "ppo", "finished"],
        "assets": by_place["vision", "resnet", "finished"],
    }


@pytest.fixture
def attempts(monkeypatch):
    """Counts the requests that are sent, including retries."""
    sent = []
    make = urllib3.connectionpool.HTTPConnectionPool._make_request

    def counted(self, conn, method, target, *args, **kwargs):
        sent.append(f"{method} {target}")
        return make(self, conn, method, target, *args, **kwargs)

    monkeypatch.setattr(urllib3.connectionpool.HTTPConnectionPool, "_make_request", counted)
    return sent


# The report: the outcome of each method, by the marks of its tests.

outcomes = collections.defaultdict(list)
notes = collections.defaultdict(set)


@pytest.fixture
def note(request):
    """Sets the method's cell in the table if it is not "yes"."""

    def write(text):
        for mark in request.node.iter_markers("covers"):
            for method in mark.args:
                notes[method].add(text)

    return write


def pytest_configure(config):
    config.addinivalue_line("markers", "covers(*methods): the client's methods that the test is about")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" or report.failed:
        for mark in item.iter_markers("covers"):
            for method in mark.args:
                outcomes[method].append(report.outcome)
    return report


def pytest_sessionfinish():
    path = os.environ.get("RUNICORN_COMPAT_REPORT")
    if not path:
        return
    cells = {}
    for method, results in outcomes.items():
        if "failed" in results:
            cells[method] = "FAILED"
        elif "passed" in results:
            cells[method] = ", ".join(sorted(notes[method])) or "yes"
    pathlib.Path(path).write_text(json.dumps(cells))
