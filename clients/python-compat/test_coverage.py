"""The tests cover every method of the client."""

import inspect

from runicorn.api import RunicornClient, utils
from runicorn.api.artifacts import ArtifactsAPI
from runicorn.api.remote import RemoteAPI


def test_every_method_has_a_test(request):
    covered = {m for item in request.session.items for mark in item.iter_markers("covers") for m in mark.args}
    wanted = {"api.connect", "RunicornClient.__init__", "RunicornClient.__enter__", "RunicornClient.__exit__"}
    for owner in (RunicornClient, ArtifactsAPI, RemoteAPI):
        wanted |= {f"{owner.__name__}.{name}" for name, _ in inspect.getmembers(owner, inspect.isfunction) if name[0] != "_"}
    wanted |= {f"utils.{name}" for name, f in inspect.getmembers(utils, inspect.isfunction)}
    assert covered == wanted
