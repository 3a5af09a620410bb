"""The code blocks of the client's documentation, in their order. Only the address
and the ids differ."""

import pathlib

import pytest
import requests

import runicorn.api as api
from runicorn.api import BadRequestError, ConnectionError, NotFoundError, RunicornClient, utils

from conftest import DEMO, HAS_ARTIFACTS


def test_quick_start_basic_usage(url, capsys):
    client = api.connect(url)
    experiments = client.list_experiments(project="vision")
    print(f"Found {len(experiments)} experiments")
    for exp in experiments[:3]:
        metrics = client.get_metrics(exp["id"])
        print(f"{exp['name']}: {list(metrics['metrics'].keys())}")
    client.close()
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_quick_start_context_manager(url):
    with api.connect(url) as client:
        experiments = client.list_experiments()
    assert experiments


def test_core_classes_constructor(url):
    client = RunicornClient(base_url=url.replace("127.0.0.1", "localhost"), timeout=60, max_retries=5)
    assert client.base_url.startswith("http://localhost:") and client.timeout == 60
    client.close()


def test_list_experiments(client):
    all_experiments = client.list_experiments()
    vision_exps = client.list_experiments(project="vision")
    running_exps = client.list_experiments(status="running")
    page1 = client.list_experiments(limit=10, offset=0)
    page2 = client.list_experiments(limit=10, offset=10)
    assert len(all_experiments) > len(vision_exps) > 0 and running_exps
    assert len(page1) == min(10, len(all_experiments)) and len(page2) == min(10, max(0, len(all_experiments) - 10))


def test_get_experiment(client, runs, capsys):
    run = client.get_experiment(runs["basic"])
    print(f"Project: {run['project']}")
    print(f"Name: {run['name']}")
    print(f"Status: {run['status']}")
    print(f"Created: {run['created_at']}")
    assert "Project: " in capsys.readouterr().out


@pytest.mark.parametrize("key", ["basic", "sparse", "empty"] + ([] if DEMO else ["nan", "cells", "rewrites", "negative"]))
def test_get_metrics(client, runs, key):
    metrics = client.get_metrics(runs[key], metric_names=["loss", "accuracy"])
    metrics = client.get_metrics(runs[key])
    for metric_name, points in metrics["metrics"].items():
        values = [p["value"] for p in points]
        print(f"{metric_name}: min={min(values)}, max={max(values)}")


def test_export_experiment(client, runs, tmp_path):
    data = client.export_experiment(runs["basic"], format="json")
    with open(tmp_path / "experiment.json", "wb") as f:
        f.write(data)
    data = client.export_experiment(runs["basic"], format="csv")
    with open(tmp_path / "metrics.csv", "wb") as f:
        f.write(data)
    assert all(path.stat().st_size > 0 for path in tmp_path.iterdir())


def test_list_artifacts(client):
    artifacts = client.artifacts.list_artifacts()
    models = client.artifacts.list_artifacts(type="model")
    datasets = client.artifacts.list_artifacts(type="dataset")
    assert len(artifacts) == len(models) + len(datasets) == (2 if HAS_ARTIFACTS else 0)


def test_get_artifact(client, capsys):
    if not HAS_ARTIFACTS:
        with pytest.raises(NotFoundError):
            client.artifacts.get_artifact("my-model:v3")
        return
    artifact = client.artifacts.get_artifact("toy-model:v3")
    print(f"Name: {artifact['name']}")
    print(f"Version: {artifact['version']}")
    print(f"Type: {artifact['type']}")
    print(f"Size: {artifact['size_bytes'] / 1024 / 1024:.2f} MB")
    assert "Version: 3" in capsys.readouterr().out


def test_start_viewer(client):
    with pytest.raises(NotFoundError):
        session = client.remote.start_viewer(connection_id="remote-server.com", remote_root="/data/runicorn")
        print(f"Access at: http://localhost:{session['local_port']}")


def test_error_handling(url):
    caught = None
    try:
        client = RunicornClient(url)
        client.get_run("nonexistent_id")
    except ConnectionError as e:
        caught = e
    except NotFoundError as e:
        caught = e
    except BadRequestError as e:
        caught = e
    assert type(caught) is NotFoundError


def test_best_practice_1_manual_management(url):
    client = api.connect(url)
    try:
        experiments = client.list_experiments()
    finally:
        client.close()
    assert experiments


def test_best_practice_2_batch_operations(client):
    experiments = client.list_experiments()
    for exp in experiments:
        metrics = client.get_metrics(exp["id"])
        assert "metrics" in metrics


def test_best_practice_3_dataframes(url, runs):
    with api.connect(url) as client:
        experiments = client.list_experiments()
        df_exps = utils.experiments_to_dataframe(experiments)
        metrics = client.get_metrics(runs["basic"])
        df_metrics = utils.metrics_to_dataframe(metrics)
        print(df_metrics.describe())
        print(df_exps.groupby("project").size())


def test_example_1_analyze_experiment_performance(url, capsys):
    with api.connect(url) as client:
        experiments = client.list_experiments(project="vision")
        best_run = None
        best_acc = 0
        for exp in experiments:
            metrics = client.get_metrics(exp["id"])
            if "accuracy" in metrics["metrics"]:
                acc_points = metrics["metrics"]["accuracy"]
                max_acc = max(p["value"] for p in acc_points)
                if max_acc > best_acc:
                    best_acc = max_acc
                    best_run = exp
        if best_run:
            print(f"Best experiment: {best_run['name']}")
            print(f"Accuracy: {best_acc:.2f}%")
    out = capsys.readouterr().out
    assert DEMO or "Best experiment: resnet\nAccuracy: 1.00%" in out


@pytest.mark.parametrize("project", ["nlp", "vision"])
def test_example_2_export_multiple_experiments(url, project, tmp_path):
    output_dir = pathlib.Path(tmp_path / "exports")
    output_dir.mkdir(exist_ok=True)
    with api.connect(url) as client:
        experiments = client.list_experiments(project=project, limit=10)
        for exp in experiments:
            data = client.export_experiment(exp["id"], format="json")
            filename = f"{exp['name']}_{exp['id']}.json"
            filepath = output_dir / filename
            filepath.write_bytes(data)
            print(f"✓ Exported: {filename}")
    assert len(list(output_dir.iterdir())) == len(experiments)


def test_example_3_manage_artifacts(url, capsys):
    with api.connect(url) as client:
        models = client.artifacts.list_artifacts(type="model")
        for model in models:
            print(f"\nModel: {model['name']}")
            versions = client.artifacts.list_versions(model["name"])
            print(f"  Versions: {len(versions)}")
            latest = versions[0]
            print(f"  Latest: v{latest['version']}")
            print(f"  Size: {latest['size_bytes'] / 1024 / 1024:.2f} MB")
    out = capsys.readouterr().out
    assert ("Model: toy-model\n  Versions: 3\n  Latest: v3\n" in out) == HAS_ARTIFACTS


def test_an_export_of_nothing_is_no_file(client):
    with pytest.raises(requests.HTTPError, match="400"):
        client.export_experiment("", format="json")
