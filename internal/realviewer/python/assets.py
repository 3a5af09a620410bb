"""Seeded data other than metrics: images, assets, artifacts, environments."""

import pathlib
import struct
import zlib

import sdk


def png(red, green, blue):
    """Returns a picture of four by four points in one colour."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    pixels = (b"\x00" + bytes((red, green, blue)) * 4) * 4
    header = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def images():
    run = sdk.open_run("media", "images")
    run.log({"loss": 1.0}, step=1)
    run.log_image("sample", png(255, 0, 0), step=1, caption="красный, red")
    run.log_image("sample", png(0, 255, 0), step=2, caption=None)
    run.log_image("mask", png(0, 0, 255), step=None, caption="without a step")
    run.finish()
    return sdk.describe(run, "finished")


def environment():
    """Stores an environment; 0.5.3 and 0.6.0 have the code but never call it."""
    from runicorn.extensions.environment import EnvironmentCapture

    EnvironmentCapture.get_pip_packages = lambda self: ["numpy==2.4.1", "torch==2.11.0"]  # pip freeze takes a second
    run = sdk.open_run("media", "environment")
    run.log({"loss": 1.0}, step=1)
    EnvironmentCapture().capture_all().save(run.run_dir / "environment.json")
    run.finish()
    return sdk.describe(run, "finished")


def assets(workspace):
    """One run with every kind of asset. No second run has the same files: 0.7.2
    keeps its database locked when a fingerprint is repeated."""
    (workspace / "train.py").write_text("print('training')\n")
    data = workspace / "data"
    data.mkdir()
    (data / "train.csv").write_text("x,y\n1,2\n")
    (data / "test.csv").write_text("x,y\n3,4\n")
    weights = workspace / "weights.bin"
    weights.write_bytes(b"pretrained" * 100)
    outputs = workspace / "outputs"
    outputs.mkdir()
    (outputs / "model.pt").write_bytes(b"model" * 200)

    run = sdk.open_run("media", "assets", alias="assets", snapshot_code=True, workspace_root=str(workspace))
    run.log({"loss": 1.0}, step=1)
    run.log_config(args={"lr": 0.1, "layers": [1, 2]}, extra={"seed": 7}, config_files=["config.yaml"])
    run.log_dataset("toy", data, context="train", save=True, description="two tables")
    run.log_dataset("remote", "s3://bucket/data", context="eval")
    run.log_pretrained("weights", path_or_uri=weights, save=True, source_type="local", description="from the shop")
    run.scan_outputs_once(output_dirs=[outputs], stable_required=1, min_age_sec=0)
    run.finish()
    return sdk.describe(run, "finished")


def artifacts(workspace):
    """A model of three versions, a data set, and the runs that created and used them."""
    import runicorn

    data = workspace / "table.csv"
    data.write_text("x,y\n1,2\n")
    maker = sdk.open_run("lineage", "dataset")
    dataset = runicorn.Artifact("toy-data", type="dataset", description="a table")
    dataset.add_file(data).add_metadata({"rows": 1}).add_tags("small")
    dataset.add_reference("s3://bucket/rest", checksum="sha256:00")
    maker.log_artifact(dataset)
    maker.log({"rows": 1}, step=1)
    maker.finish()

    trainer = sdk.open_run("lineage", "model")
    trainer.use_artifact("toy-data:latest")
    for version in (1, 2, 3):
        weights = workspace / f"model-{version}.bin"
        weights.write_bytes(b"w" * 100 * version)
        model = runicorn.Artifact("toy-model", type="model", description=f"take {version}")
        model.add_file(weights, name="model.bin").add_metadata({"accuracy": version / 4})
        trainer.log_artifact(model)
        trainer.log({"accuracy": version / 4}, step=version)
    index = trainer.artifact_storage._load_index("toy-model", "model")
    index.aliases["production"] = 2  # the release has no call that sets an alias
    trainer.artifact_storage._save_index("toy-model", "model", index)
    trainer.finish()

    user = sdk.open_run("lineage", "evaluation")
    user.use_artifact("toy-model:production")
    user.log({"accuracy": 0.4}, step=1)
    user.finish()
    return {
        "artifact_dataset": sdk.describe(maker, "finished"),
        "artifact_model": sdk.describe(trainer, "finished"),
        "artifact_user": sdk.describe(user, "finished"),
    }


def seed(workspace):
    workspace = pathlib.Path(workspace)
    manifest = {"images": images(), "environment": environment()}
    if sdk.HAS_ASSETS:
        manifest["assets"] = assets(workspace)
    if sdk.HAS_ARTIFACTS:
        manifest.update(artifacts(workspace))
    return manifest
