"""The package covers the whole contract."""

import asyncio
import inspect
import pickle

import pytest

import runicorn_grpc as r
from runicorn_grpc import _contract, types

ARGUMENTS = {"runs": "run", "format": "csv", "to_stage": "staging", "metrics": ["loss"], "storage_root": "/x", "alias": "a",
             "host_key": {"host": "h"}, "remote_root": "/r", "all_deleted": False}


class Recorder:
    """A transport that records calls and responds to each with an empty message."""

    def __init__(self, settings):
        self.settings, self.calls = settings, []

    async def unary(self, method, request, timeout):
        self.calls.append(method.name)
        return _contract.message_class(method.response)()

    async def open(self, method, request):
        self.calls.append(method.name)
        raise NotImplementedError

    async def sleep(self, seconds):
        raise AssertionError

    async def close(self):
        pass

    def twin_of(self, kind):
        return kind


def public_methods(kind):
    return {name: m for name, m in vars(kind).items() if inspect.isfunction(m) and not name.startswith("_") and name != "close"}


async def use(client, name, function, folder):
    """Calls a method with a value for each required argument."""
    arguments = {}
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.name in ARGUMENTS and parameter.name not in ("alias", "all_deleted") or (name == "update" and parameter.name == "alias"):
            arguments[parameter.name] = ARGUMENTS[parameter.name]
        elif parameter.default is inspect.Parameter.empty:
            arguments[parameter.name] = str(folder / "x") if parameter.name == "path" else "x"
    made = getattr(client, name)(**arguments)
    if inspect.isawaitable(made):
        await made
    else:
        await anext(aiter(made), None)


def test_every_rpc_has_a_method(tmp_path):
    client = r.AsyncClient("127.0.0.1:1")
    client._transport = recorder = Recorder(client._transport.settings)

    async def use_all():
        for name, function in public_methods(r.AsyncClient).items():
            before = len(recorder.calls)
            try:
                await use(client, name, function, tmp_path)
            except NotImplementedError:
                pass
            assert len(recorder.calls) == before + 1, name

    asyncio.run(use_all())
    assert sorted(recorder.calls) == sorted(_contract.METHODS)


def test_both_clients_are_alike():
    blocking, asynchronous = public_methods(r.Client), public_methods(r.AsyncClient)
    assert list(blocking) == list(asynchronous)
    for name, method in blocking.items():
        assert inspect.signature(method) == inspect.signature(asynchronous[name])
        assert not inspect.iscoroutinefunction(method)


@pytest.mark.parametrize("method", public_methods(r.AsyncClient).values(), ids=lambda m: m.__name__)
def test_every_method_has_a_docstring_with_an_example(method):
    assert ">>> " in inspect.getdoc(method)


def test_the_stub_names_what_there_is():
    for name in r.__all__:
        assert getattr(r, name) is not None
    assert types.ExperimentStatus.__args__[:2] == ("unspecified", "running")
    with pytest.raises(AttributeError, match="the contract has no Nonsense"):
        types.Nonsense


def test_records_are_python_values_and_can_be_pickled():
    record = _contract.wrap(_contract.build("Experiment", {"run_id": "a", "status": "failed", "tags": ["x"]}))
    assert (record.status, record.tags, record.create_time, record.alias, record.summary) == ("failed", ["x"], None, None, {})
    assert pickle.loads(pickle.dumps(record)) == record
    assert "<td>failed</td>" in record._repr_html_()
    record.proto.status = 99
    assert record.status == "99"  # newer than this package
    with pytest.raises(AttributeError):
        record.status = "running"


def test_requests_refuse_what_they_cannot_hold():
    with pytest.raises(ValueError, match="'runing' is no ExperimentStatus; these are: 'running'"):
        _contract.build("Experiment", {"status": "runing"})
    with pytest.raises(TypeError, match="want a list"):
        _contract.build("TailMetricsRequest", {"run_ids": "abc"})


def test_quotes_survive(client):
    for hostile in ('"', "\\", "\n", '" OR name:*', "a* OR b", "\t'`", "ü"):
        assert client.experiments(name=hostile).to_list() == []
        assert client.experiments(f"name = {r.quote(hostile)} AND project:*").to_list() == []


def test_filters_and_keywords_are_joined(client):
    vision = client.experiments(project="vision").to_list()
    assert vision and {e.project for e in vision} == {"vision"}
    both = client.experiments('name = "vit" OR name = "bert"', project="vision").to_list()
    assert {(e.project, e.name) for e in both} <= {("vision", "vit"), ("vision", "bert")} and both
