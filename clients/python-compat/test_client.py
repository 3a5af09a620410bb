"""Every method of RunicornClient."""

import csv
import io
import json
import math

import pytest
import requests

import runicorn.api as api
from runicorn.api import BadRequestError, ConnectionError, Experiment, MetricSeries, NotFoundError, Project, RunicornClient

from conftest import DEMO, GENERATION, HAS_PATHS, needs_paths, needs_real

covers = pytest.mark.covers
UNKNOWN = "20200101_000000_abcdef"


@covers("api.connect", "RunicornClient.__init__")
def test_the_constructor_finds_a_healthy_viewer(url):
    client = RunicornClient(base_url=url + "/", timeout=60, max_retries=5)
    assert (client.base_url, client.timeout) == (url, 60)
    assert isinstance(client.session, requests.Session)
    assert client.artifacts is client.artifacts and client.remote is client.remote
    client.close()
    api.connect(base_url=url, timeout=30, max_retries=3).close()


@covers("RunicornClient.__enter__", "RunicornClient.__exit__", "RunicornClient.close")
def test_the_context_manager_closes_the_session(url, monkeypatch):
    closed = []
    with api.connect(url) as client:
        monkeypatch.setattr(client.session, "close", lambda: closed.append(True))
        client.list_experiments(limit=1)
    assert closed == [True]


@covers("RunicornClient.health_check")
def test_health_is_what_the_client_expects(client):
    assert client.health_check()["status"] == "healthy"


@covers("RunicornClient.get", "RunicornClient.post", "RunicornClient.put", "RunicornClient.delete")
def test_the_plain_verbs(client):
    assert client.get("/api/experiments", params={"limit": 1})["experiments"]
    with pytest.raises(BadRequestError):
        client.post("/api/remote/disconnect", json=None)
    with pytest.raises(BadRequestError):
        client.put("/api/config", json={"no": "such"})
    with pytest.raises(ConnectionError, match="405"):
        client.delete("/api/config")


@covers("RunicornClient.list_experiments")
def test_all_experiments_are_listed_newest_first(client, runs):
    experiments = client.list_experiments()
    assert set(runs.values()) <= {e["id"] for e in experiments}
    times = [e["created_at"] for e in experiments]
    assert times == sorted(times, reverse=True)
    for e in experiments:
        model = Experiment.from_dict(e)
        assert model.created_datetime.year >= 2025 and model.updated_datetime >= model.created_datetime
        assert "/" not in e["name"]
        assert set(e) >= {"id", "project", "name", "status", "created_at", "updated_at", "tags"}


@covers("RunicornClient.list_experiments")
def test_experiments_are_filtered_by_the_server(client):
    everything = client.list_experiments()
    vision = client.list_experiments(project="vision")
    assert vision and vision == [e for e in everything if e["project"] == "vision"]
    name = vision[0]["name"]
    assert client.list_experiments(project="vision", name=name) == [e for e in vision if e["name"] == name]
    for status in ("running", "finished", "failed", "interrupted"):
        found = client.list_experiments(status=status)
        assert [e["id"] for e in found] == [e["id"] for e in everything if e["status"] == status]
        assert found or status == "running"
    assert client.list_experiments(project="no such") == []
    assert client.list_experiments(status="no such") == []


@covers("RunicornClient.list_experiments")
def test_pages_follow_each_other(client):
    finished = [e["id"] for e in client.list_experiments(status="finished")]
    page1 = client.list_experiments(status="finished", limit=2, offset=0)
    page2 = client.list_experiments(status="finished", limit=2, offset=2)
    assert [e["id"] for e in page1 + page2] == finished[:4]
    assert client.list_experiments(offset=100_000) == []


@covers("RunicornClient.list_experiments")
@needs_paths
def test_a_name_with_slashes_is_found_in_both_forms(client, runs):
    for name in ("detection-yolo-ablation", "detection/yolo/ablation"):
        (found,) = client.list_experiments(name=name)
        assert (found["id"], found["name"]) == (runs["deep"], "detection-yolo-ablation")
        assert found["path"] == "vision/detection/yolo/ablation"


@covers("RunicornClient.list_experiments")
@pytest.mark.skipif(GENERATION not in ("0.5.3", "0.6.0"), reason="only these pass statuses of a script's own through")
def test_a_status_of_a_scripts_own_is_itself(client, runs):
    (found,) = client.list_experiments(status="completed")
    assert (found["id"], found["status"]) == (runs["custom_status"], "completed")


@covers("RunicornClient.get_experiment", "RunicornClient.get_run")
def test_an_experiment_has_its_details(client, runs):
    run = client.get_experiment(runs["basic"])
    assert client.get_run(runs["basic"])["id"] == run["id"] == runs["basic"]
    assert run["project"] and run["name"] and run["status"] in ("finished", "interrupted")
    assert isinstance(run["created_at"], (int, float)) and isinstance(run["summary"], dict)
    assert Experiment.from_dict(run).id == runs["basic"]
    assert client.get_run(run["resource_name"])["id"] == run["id"]


@covers("RunicornClient.get_experiment", "RunicornClient.get_run")
@needs_paths
def test_the_summary_is_there_from_06_on(client, runs):
    summary = client.get_run(runs["summary"])["summary"]
    assert summary["large"] == 2**60 + 1 and summary["nan"] is None and summary["text"] == "naïve 学"


@covers("RunicornClient.get_experiment", "RunicornClient.get_run")
@pytest.mark.skipif(HAS_PATHS, reason="0.6 and later serve it")
def test_the_summary_of_053_is_empty_and_said_to_be_missing(client, runs):
    run = client.get_run(runs["summary"])
    assert run["summary"] == {} and "summary" in run["missing"]


@covers("RunicornClient.get_experiment", "RunicornClient.get_run")
@pytest.mark.parametrize("call", ["get_experiment", "get_run", "get_metrics"])
def test_an_unknown_run_is_not_found(client, attempts, call):
    with pytest.raises(NotFoundError, match=UNKNOWN):
        getattr(client, call)(UNKNOWN)
    assert len(attempts) == 1


@covers("RunicornClient.list_projects")
def test_projects_are_records_that_add_up(client):
    projects = {p["name"]: Project.from_dict(p) for p in client.list_projects()}
    counted = {}
    for e in client.list_experiments():
        counted[e["project"]] = counted.get(e["project"], 0) + 1
    assert {name: p.experiment_count for name, p in projects.items()} == counted
    assert all(p.latest_update > 1.7e9 for p in projects.values())


@covers("RunicornClient.get_metrics")
def test_metrics_are_points_in_order(client, runs):
    metrics = client.get_metrics(runs["basic"])["metrics"]
    for name, points in metrics.items():
        series = MetricSeries.from_dict(name, points)
        assert series.points and series.steps == sorted(series.steps)
        assert series.min_value() <= series.last_value() <= series.max_value()
        assert all(p.timestamp > 1.7e9 for p in series.points)
    if not DEMO:
        assert list(metrics) == ["accuracy", "count", "loss"]
        assert [p["value"] for p in metrics["loss"]] == [1 / step for step in range(1, 51)]


@covers("RunicornClient.get_metrics")
def test_metrics_are_selected_and_limited(client, runs):
    everything = client.get_metrics(runs["basic"])["metrics"]
    names = list(everything)[:2]
    some = client.get_metrics(runs["basic"], metric_names=names, limit=3)["metrics"]
    assert some == {name: everything[name][:3] for name in names}
    assert client.get_metrics(runs["basic"], metric_names=["no such"])["metrics"] == {}
    assert client.get_metrics(runs["empty"])["metrics"] == {}


@covers("RunicornClient.get_metrics")
@needs_real
def test_a_point_is_a_finite_number_and_nothing_is_padded(client, runs):
    nan = client.get_metrics(runs["nan"])["metrics"]
    assert set(nan) == {"loss", "steady"}, "a metric without one finite value is absent, since max of nothing fails"
    assert [p["step"] for p in nan["loss"]] == [2, 3, 5, 6, 8, 9, 10, 11]
    assert all(math.isfinite(p["value"]) for points in nan.values() for p in points)
    assert set(client.get_metrics(runs["cells"])["metrics"]) <= {"loss", "mixed", "stage"}
    sparse = client.get_metrics(runs["sparse"])["metrics"]
    assert {name: len(points) for name, points in sparse.items()} == {
        "train/loss": 30, "learning rate": 15, "λ/学习率": 10, "val.acc": 6, 'quote " and \\ back': 4, "🔥": 2,
    }


@covers("RunicornClient.get_metrics")
@needs_real
def test_integers_keep_their_digits(client, runs):
    exact = client.get_metrics(runs["bigints"], metric_names=["exact"])["metrics"]["exact"]
    assert [p["value"] for p in exact][:4] == [2**60 + 1, 7 if len(exact) == 6 else -(2**60) - 1, 2**53, 2**53 + 1]


@covers("RunicornClient.get_metrics")
@needs_real
def test_a_long_run_comes_whole(client, runs):
    metrics = client.get_metrics(runs["big"])["metrics"]
    assert [p["step"] for p in metrics["loss"]] == list(range(1, 12_001))


@covers("RunicornClient.get_metrics")
@needs_real
def test_a_run_beyond_one_message_comes_whole(client, runs):
    metrics = client.get_metrics(runs["huge"])["metrics"]
    assert {name: len(points) for name, points in metrics.items()} == dict.fromkeys("abcdef", 40_000)


@covers("RunicornClient.export_experiment")
def test_an_export_in_json_is_one_document(client, runs):
    data = client.export_experiment(runs["basic"])
    assert isinstance(data, bytes) and runs["basic"] in data.decode()
    json.loads(data)


@covers("RunicornClient.export_experiment")
def test_an_export_in_csv_has_a_row_for_each_step(client, runs):
    data = client.export_experiment(runs["basic"], format="csv", include_media=False)
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    longest = max(len(points) for points in client.get_metrics(runs["basic"])["metrics"].values())
    assert len(rows) == longest and "step" in rows[0]


@covers("RunicornClient.export_experiment")
def test_a_failed_export_is_an_error_of_requests(client, attempts):
    # Only this method does not raise exceptions of the documented hierarchy.
    for arguments, status in (((UNKNOWN,), 404), ((UNKNOWN, "xls"), 400)):
        with pytest.raises(requests.HTTPError) as failure:
            client.export_experiment(*arguments)
        assert failure.value.response.status_code == status
    assert len(attempts) == 2


@covers("RunicornClient.get_config")
def test_the_configuration_is_the_viewers(client):
    config = client.get_config()
    assert config["storage"] and config["config_file"] and "user_root_dir" in config


@covers("RunicornClient.update_config")
def test_the_storage_root_can_be_set_where_the_operator_allows_it(client, note):
    root = client.get_config()["storage"]
    if DEMO:  # runs without --allow-config-writes
        with pytest.raises(ConnectionError, match="403"):
            client.update_config({"user_root_dir": root})
        note("ConnectionError")
        return
    assert client.update_config({"user_root_dir": root})["storage"] == root


@covers("RunicornClient.update_config")
@pytest.mark.parametrize("config", [{}, {"storage": "/elsewhere"}, {"user_root_dir": 1}, {"user_root_dir": ""}])
def test_nothing_else_can_be_configured(client, config):
    with pytest.raises(BadRequestError):
        client.update_config(config)


@covers("RunicornClient.get_gpu_info")
def test_gpus_or_why_there_are_none(client):
    info = client.get_gpu_info()
    assert info["available"] is bool(info["gpus"]) or info["reason"]
