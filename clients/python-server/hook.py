"""Adds the server's binary to the wheel, and its platform to the tags. The platform
is RUNICORN_GRPC_PLATFORM (see build.py). Without it the wheel is for this machine
only, and the binary is built like by `go run`, whose compiled packages it uses."""

import os
import pathlib
import subprocess
import sysconfig

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# The binary is static, so it runs with glibc and with musl.
# Go 1.25 and later need macOS 12.
TAGS = {
    "linux/amd64": "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64",
    "linux/arm64": "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
    "darwin/amd64": "macosx_12_0_x86_64",
    "darwin/arm64": "macosx_12_0_arm64",
    "windows/amd64": "win_amd64",
}


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version, build_data):
        platform = os.environ.get("RUNICORN_GRPC_PLATFORM")
        system, processor = (platform or "/".join(
            subprocess.run(["go", "env", "GOOS", "GOARCH"], check=True, capture_output=True, text=True).stdout.split())).split("/")
        name = "runicorn-grpc" + (".exe" if system == "windows" else "")
        binary = pathlib.Path(self.directory) / f"{system}-{processor}" / name
        portable = {"GOOS": system, "GOARCH": processor, "CGO_ENABLED": "0"} if platform else {}
        subprocess.run(
            ["go", "build", *(["-trimpath"] if platform else []), "-ldflags=-s -w", "-o", str(binary.resolve()), "./cmd/server"],
            cwd=pathlib.Path(self.root).parent.parent, check=True, env={**os.environ, **portable})
        build_data["shared_scripts"][str(binary)] = name
        build_data["tag"] = "py3-none-" + (TAGS[platform] if platform else sysconfig.get_platform().replace("-", "_").replace(".", "_"))
        build_data["pure_python"] = False

    def finalize(self, version, build_data, artifact_path):
        for binary in build_data["shared_scripts"]:
            os.remove(binary)
            os.rmdir(os.path.dirname(binary))
