"""Every method of client.artifacts, with Viewers that have artifacts and with
Viewers that do not."""

import pytest

from runicorn.api import Artifact, BadRequestError, NotFoundError

from conftest import HAS_ARTIFACTS, needs_artifacts

covers = pytest.mark.covers
without_artifacts = pytest.mark.skipif(HAS_ARTIFACTS, reason="this generation has artifacts")


@covers("ArtifactsAPI.list_artifacts")
@needs_artifacts
def test_artifacts_are_listed_by_name_and_type(client):
    artifacts = client.artifacts.list_artifacts()
    assert [a["name"] for a in artifacts] == ["toy-data", "toy-model"]
    assert client.artifacts.list_artifacts(type="model") == artifacts[1:]
    assert client.artifacts.list_artifacts(type="code") == []
    assert client.artifacts.list_artifacts(limit=1) == artifacts[:1]
    assert client.artifacts.list_artifacts(limit=1, offset=1) == artifacts[1:]
    model = Artifact.from_dict(artifacts[1])
    assert (model.id, model.size_bytes) == ("toy-model:v3", 300) and model.size_mb > 0
    assert model.created_datetime.year >= 2025


@covers("ArtifactsAPI.list_artifacts")
@without_artifacts
def test_a_generation_without_artifacts_lists_none(client, note):
    assert client.artifacts.list_artifacts() == client.artifacts.list_artifacts(type="model", limit=5) == []
    note("empty list")


@covers("ArtifactsAPI.get_artifact")
@needs_artifacts
@pytest.mark.parametrize("artifact_id, version", [("v1", 1), ("2", 2), ("latest", 3), ("production", 2), (None, 3)])
def test_an_artifact_is_got_by_each_form_of_its_id(client, artifact_id, version):
    artifact = client.artifacts.get_artifact("toy-model" if artifact_id is None else f"toy-model:{artifact_id}")
    assert (artifact["name"], artifact["version"], artifact["type"]) == ("toy-model", version, "model")
    assert artifact["size_bytes"] == 100 * version
    assert artifact["metadata"] == {"accuracy": version / 4}
    assert Artifact.from_dict(artifact).id == f"toy-model:v{version}"


@covers("ArtifactsAPI.get_artifact")
@needs_artifacts
def test_an_unknown_artifact_is_not_found(client):
    for artifact_id in ("toy-model:v99", "toy-model:staging", "no-model:v1"):
        with pytest.raises(NotFoundError):
            client.artifacts.get_artifact(artifact_id)
    with pytest.raises(BadRequestError):
        client.artifacts.get_artifact("toy-model:v0")


@covers("ArtifactsAPI.get_artifact", "ArtifactsAPI.list_versions", "ArtifactsAPI.get_artifact_lineage")
@without_artifacts
@pytest.mark.parametrize("call", ["get_artifact", "list_versions", "get_artifact_lineage"])
def test_a_generation_without_artifacts_finds_none(client, attempts, note, call):
    with pytest.raises(NotFoundError):
        getattr(client.artifacts, call)("my-model:v3")
    assert len(attempts) == 1
    note("NotFoundError")


@covers("ArtifactsAPI.list_versions")
@needs_artifacts
def test_the_newest_version_is_the_first(client):
    versions = client.artifacts.list_versions("toy-model")
    assert [v["version"] for v in versions] == [3, 2, 1]
    assert [v["size_bytes"] for v in versions] == [300, 200, 100]
    with pytest.raises(NotFoundError):
        client.artifacts.list_versions("no-model")


@covers("ArtifactsAPI.get_artifact_lineage")
@needs_artifacts
def test_the_lineage_is_a_graph_of_runs_and_artifacts(client, runs):
    graph = client.artifacts.get_artifact_lineage("toy-model:v2")
    assert graph["root_artifact"] == "toy-model:v2"
    nodes = {node["node_id"]: node["node_type"] for node in graph["nodes"]}
    assert nodes["toy-model:v2"] == "artifact" and nodes[f"run:{runs['artifact_model']}"] == "run"
    assert {"source": f"run:{runs['artifact_model']}", "target": "toy-model:v2", "edge_type": "produces"} in graph["edges"]


@covers("ArtifactsAPI.list_experiment_artifacts")
@needs_artifacts
def test_an_experiment_says_what_it_made_and_used(client, runs):
    made = client.artifacts.list_experiment_artifacts(runs["artifact_model"], relation="created")
    assert [(a["name"], a["version"]) for a in made] == [("toy-model", 1), ("toy-model", 2), ("toy-model", 3)]
    (used,) = client.artifacts.list_experiment_artifacts(runs["artifact_model"], relation="used")
    assert (used["name"], used["relation"]) == ("toy-data", "used")
    assert len(client.artifacts.list_experiment_artifacts(runs["artifact_model"])) == 4


@covers("ArtifactsAPI.list_experiment_artifacts")
@without_artifacts
def test_an_experiment_says_which_assets_it_made_and_used(client, runs, note):
    everything = client.artifacts.list_experiment_artifacts(runs["assets"])
    assert everything and {a["relation"] for a in everything} <= {"created", "used"}
    assert all(a["version"] is None and a["asset_id"] for a in everything)
    used = client.artifacts.list_experiment_artifacts(runs["assets"], relation="used")
    assert used == [a for a in everything if a["relation"] == "used"]
    note("assets")


@covers("ArtifactsAPI.list_experiment_artifacts")
def test_an_experiment_without_any_says_so(client, runs):
    assert client.artifacts.list_experiment_artifacts(runs["empty"]) == []
    with pytest.raises(NotFoundError):
        client.artifacts.list_experiment_artifacts("20200101_000000_abcdef")
    with pytest.raises(BadRequestError):
        client.artifacts.list_experiment_artifacts(runs["empty"], relation="made")


@covers("ArtifactsAPI.download_artifact")
def test_the_client_itself_cannot_download(client, note, tmp_path):
    with pytest.raises(NotImplementedError):
        client.artifacts.download_artifact("toy-model:v1", str(tmp_path))
    note("NotImplementedError of the client's own")
