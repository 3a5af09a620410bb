"""Makes a bundle for runc out of an OCI layout: oci_unpack.py LAYOUT ARCH BUNDLE [FLAG=VALUE ...].

The container has the host's network, a read-only root, a /tmp of its own, no
capabilities, and the user and the entry point of the image.
"""

import json
import pathlib
import sys
import tarfile

layout, arch, bundle = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])


def blob(descriptor):
    return layout / "blobs" / descriptor["digest"].replace(":", "/")


def document(descriptor):
    return json.loads(blob(descriptor).read_text())


manifests = json.loads((layout / "index.json").read_text())["manifests"]
while "index" in manifests[0]["mediaType"] or "list" in manifests[0]["mediaType"]:
    manifests = document(manifests[0])["manifests"]
manifest = document(next(m for m in manifests if m["platform"]["architecture"] == arch))
config = document(manifest["config"])["config"]
for layer in manifest["layers"]:
    with tarfile.open(blob(layer)) as archive:
        archive.extractall(bundle / "rootfs")
uid, gid = (int(part) for part in config["User"].split(":"))
flags = ["--" + flag for flag in sys.argv[4:]] + ["--state-dir="]
(bundle / "config.json").write_text(
    json.dumps(
        {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": uid, "gid": gid},
                "args": config["Entrypoint"] + flags,
                "env": config.get("Env", []),
                "cwd": "/",
                "noNewPrivileges": True,
                "capabilities": {},
            },
            "root": {"path": "rootfs", "readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
            ],
            "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}]},
        }
    )
)
