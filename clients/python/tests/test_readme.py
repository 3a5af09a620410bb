"""Runs all code blocks of the README, in order, as one program."""

import pathlib
import re

import pytest

README = pathlib.Path(__file__).parent.parent / "README.md"


def test_the_readme_runs(demo, monkeypatch, capsys):
    monkeypatch.setenv("RUNICORN_GRPC_ADDRESS", demo.grpc)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", README.read_text(), re.M | re.S)
    assert [kind for kind, _ in blocks if kind != "python"] == ["sh"]
    names = {"__name__": "readme"}
    for kind, block in blocks:
        if kind == "python":
            exec(compile(block, str(README), "exec"), names)
    assert "RUN_NOT_FOUND" in capsys.readouterr().out
