"""Every function of runicorn.api.utils. They use series as columns, so the series
must be of equal length. This is a limit of the client; README.md has
alternatives."""

import pandas as pd
import pytest

from runicorn.api import utils

from conftest import DEMO, needs_real

covers = pytest.mark.covers


@covers("utils.metrics_to_dataframe")
def test_series_of_equal_length_become_columns(client, runs):
    metrics = client.get_metrics(runs["basic"])
    df = utils.metrics_to_dataframe(metrics)
    assert list(df.columns) == ["step", *metrics["metrics"]]
    for name, points in metrics["metrics"].items():
        assert df[name].tolist() == [p["value"] for p in points]
    assert df.describe().loc["count", "step"] == len(df)


@covers("utils.metrics_to_dataframe")
def test_series_of_unequal_length_are_the_clients_limit(client, runs):
    metrics = client.get_metrics(runs["sparse"])
    with pytest.raises(ValueError, match="same length"):
        utils.metrics_to_dataframe(metrics)
    for name in metrics["metrics"]:  # one at a time works
        one = utils.metrics_to_dataframe(client.get_metrics(runs["sparse"], metric_names=[name]))
        assert list(one.columns) == ["step", name] and len(one) == len(metrics["metrics"][name])


@covers("utils.metrics_to_dataframe")
def test_a_run_without_metrics_is_an_empty_frame(client, runs):
    assert utils.metrics_to_dataframe(client.get_metrics(runs["empty"])).empty


@covers("utils.experiments_to_dataframe")
def test_experiments_become_rows_with_times(client):
    experiments = client.list_experiments()
    df = utils.experiments_to_dataframe(experiments)
    assert len(df) == len(experiments)
    assert pd.api.types.is_datetime64_any_dtype(df["created_at"]) and df["created_at"].dt.year.min() >= 2025
    assert pd.api.types.is_datetime64_any_dtype(df["updated_at"])
    assert df.groupby("project").size().sum() == len(experiments)
    assert utils.experiments_to_dataframe([]).empty


@covers("utils.export_metrics_to_csv")
def test_metrics_go_to_a_csv_file(client, runs, tmp_path):
    path = str(tmp_path / "metrics.csv")
    assert utils.export_metrics_to_csv(client, runs["basic"], path) == path
    pd.testing.assert_frame_equal(pd.read_csv(path), utils.metrics_to_dataframe(client.get_metrics(runs["basic"])))
    name = next(iter(client.get_metrics(runs["basic"])["metrics"]))
    utils.export_metrics_to_csv(client, runs["basic"], path, metric_names=[name])
    assert list(pd.read_csv(path).columns) == ["step", name]


@covers("utils.compare_runs")
@needs_real
def test_runs_of_equal_length_are_compared(client, runs):
    twins = [runs["twin_a"], runs["twin_b"]]
    df = utils.compare_runs(client, twins, "loss")
    assert list(df.columns) == ["step", *twins] and len(df) == 40
    assert df[twins[0]].tolist() == df[twins[1]].tolist() == [1 / step for step in range(1, 41)]
    assert utils.compare_runs(client, twins, "no such").empty


@covers("utils.compare_runs")
def test_runs_of_unequal_length_are_the_clients_limit(client, runs):
    if DEMO:
        name = "train/loss"
        pair = [e["id"] for e in client.list_experiments(project="vision", name="resnet")]
    else:
        name, pair = "loss", [runs["basic"], runs["twin_a"]]
    assert len(pair) == 2
    with pytest.raises(ValueError, match="same length"):
        utils.compare_runs(client, pair, name)
    assert len(utils.compare_runs(client, pair[:1], name)) > 1
