"""The runicorn-grpc server. The command is runicorn-grpc."""

import os
import shutil
import sysconfig


def find_binary() -> str:
    """Returns the path of the server's binary. Raises FileNotFoundError."""
    name = "runicorn-grpc" + (".exe" if os.name == "nt" else "")
    user = sysconfig.get_preferred_scheme("user") if hasattr(sysconfig, "get_preferred_scheme") else os.name + "_user"
    for folder in (sysconfig.get_path("scripts"), sysconfig.get_path("scripts", scheme=user)):
        if os.path.isfile(os.path.join(folder, name)):
            return os.path.join(folder, name)
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not in the scripts folder of pip; reinstall runicorn-grpc-server")
    return found
