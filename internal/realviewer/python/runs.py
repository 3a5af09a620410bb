"""The seeded runs: what each logs, and how its files are changed afterwards."""

import math

import sdk

ALL = ("0.5", "0.6", "0.7")  # generations
SCRIPTS = {}


class Script:
    """One run: its location, what it logs, how it ends."""

    def __init__(self, log, project, name, path=None, alias=None, tags=(), status="finished", generations=ALL, after=None):
        self.log, self.project, self.name, self.path = log, project, name, path
        self.alias, self.tags, self.status, self.generations, self.after = alias, tags, status, generations, after

    def play(self):
        run = sdk.open_run(self.project, self.name, path=self.path, alias=self.alias)
        self.log(run)
        run.finish(self.status)
        tags = self.tags if sdk.HAS_PATHS else ()
        if tags:
            sdk.set_tags(run, tags)
        if self.after:
            self.after(run.run_dir / "events.jsonl")
        return sdk.describe(run, self.status, tags)


def script(key, *args, **kwargs):
    def register(log):
        SCRIPTS[key] = Script(log, *args, **kwargs)
        return log

    return register


def append(text):
    """Returns a function that appends raw text to an event file."""

    def edit(path):
        with open(path, "a", encoding="utf-8", newline="") as file:
            file.write(text)

    return edit


@script("basic", "vision", "resnet", alias="baseline", tags=("prod", "vision"))
def basic(run):
    run.set_primary_metric("accuracy", mode="max")
    for step in range(1, 51):
        stage = "warmup" if step <= 10 else "train"
        run.log({"loss": 1 / step, "accuracy": step / 50, "count": step}, step=step, stage=stage)
    run.log_text("epoch 1 done")
    run.log_text("two\nlines, then a blank one:\n\nand Unicode: λ 学习率 🔥")
    run.summary({"note": "a good run"})


@script("nan", "curves", "nan", tags=("odd",))
def nan(run):
    run.set_primary_metric("loss", mode="min")  # the first value is NaN and stays the best
    values = {1: math.nan, 4: math.inf, 7: -math.inf, 12: math.nan}
    for step in range(1, 13):
        run.log({"loss": values.get(step, 1 / step), "never": math.nan, "steady": step}, step=step)


@script("sparse", "curves", "sparse")
def sparse(run):
    for step in range(1, 31):
        cells = {"train/loss": 1 / step}
        for every, name in ((2, "learning rate"), (3, "λ/学习率"), (5, "val.acc"), (7, 'quote " and \\ back'), (11, "🔥")):
            if step % every == 0:
                cells[name] = step / every
        run.log(cells, step=step)


@script("rewrites", "curves", "rewrites")
def rewrites(run):
    for value in (1.0, 2.0, 3.0):
        for step in (1, 2, 3):
            run.log({"loss": value * step}, step=step)
    run.log({"accuracy": 0.5}, step=2)
    run.log({"accuracy": 0.75}, step=2)


@script("backfill", "curves", "backfill")
def backfill(run):
    for step in (10, 20, 30, 5, 15, 10, 40, 0, 35):
        run.log({"loss": step / 10, f"at_{step}": 1}, step=step)
    run.log({"loss": 99.0})  # without a step: one after the last


@script("negative", "curves", "negative")
def negative(run):
    for step in range(-5, 4):
        run.log({"loss": float(step), "zero": -0.0}, step=step)


@script("cells", "curves", "cells")
def cells(run):
    for step, mixed in enumerate((1, "two", 3.0, True, None, "", 7), start=1):
        run.log({"flag": step % 2 == 0, "phase": "ab"[step % 2], "mixed": mixed, "loss": step}, step=step)
    run.log({"nested": {"a": 1}, "list": [1, 2], "loss": 8}, step=8)
    run.log({"loss": 9}, step=9, stage=3)  # a stage need not be text


@script("bigints", "curves", "bigints")
def bigints(run):
    for step, value in enumerate((2**60 + 1, -(2**60) - 1, 2**53, 2**53 + 1, 1, 0), start=1):
        run.log({"exact": value, "wide": value * 1.5, "tiny": 5e-324, "large": 1.7976931348623157e308}, step=step)
    run.log({"exact": 7}, step=2**53 + 1)


@script("hugeints", "curves", "hugeints", generations=("0.5", "0.6"))
def hugeints(run):
    # 0.7.2's database refuses integers beyond 64 bits and would stay locked.
    run.log({"exact": 2**63, "loss": 1}, step=1)
    run.log({"exact": 10**30, "loss": 2}, step=2)


@script("epochs", "curves", "epochs")
def epochs(run):
    for epoch in range(1, 11):
        run.log({"epoch": epoch, "loss": 1 / epoch}, step=epoch * 10)


@script("empty", "curves", "empty")
def empty(run):
    pass


@script("failed", "faults", "failed", status="failed")
def failed(run):
    for step in range(1, 11):
        run.log({"loss": float(step)}, step=step)
    run.log_text("Traceback (most recent call last):")


@script("interrupted", "faults", "interrupted", status="interrupted")
def interrupted(run):
    for step in range(1, 4):
        run.log({"loss": float(step)}, step=step)


@script("custom_status", "faults", "custom", status="completed", generations=("0.5", "0.6"))
def custom_status(run):
    # 0.7.2 would treat it as finished, and its database refuses it in a file.
    run.log({"loss": 1.0}, step=1)


@script("torn", "faults", "torn", after=append('{"ts": 1795446700.5, "type": "metrics", "data": {"loss": 0.1, "glob'))
def torn(run):
    for step in range(1, 6):
        run.log({"loss": 1 / step}, step=step)


@script(
    "unterminated",
    "faults",
    "unterminated",
    after=append('{"ts": 1795446700.5, "type": "metrics", "data": {"loss": 0.1, "global_step": 6, "time": 1795446700.5}}'),
)
def unterminated(run):
    for step in range(1, 6):
        run.log({"loss": 1 / step}, step=step)


MALFORMED = """{"ts": 1795446700.0, "type": "metrics", "data": {"loss": 9.0, "glob
not JSON at all
{"ts": 1795446701.0, "type": "metrics", "data": {"loss": 0.2, "global_step": 6, "time": 1795446701.0}}
"""


@script("malformed", "faults", "malformed", after=append(MALFORMED))
def malformed(run):
    for step in range(1, 6):
        run.log({"loss": 1 / step}, step=step)


# Beyond 64 bits, which every SDK accepts; 0.7.2's database would stay locked.
FAR_STEPS = """{"ts": 1795446703.0, "type": "metrics", "data": {"loss": 3.0, "global_step": 9223372036854775807, "time": 1795446703.0}}
{"ts": 1795446704.0, "type": "metrics", "data": {"loss": 4.0, "far": 1, "global_step": 9223372036854775808, "time": 1795446704.0}}
{"ts": 1795446705.0, "type": "metrics", "data": {"loss": 5.0, "global_step": -9223372036854775809, "time": 1795446705.0}}
{"ts": 1795446706.0, "type": "metrics", "data": {"loss": 6.0, "global_step": 6, "time": 1795446706.0}}
"""


@script("far_steps", "faults", "far-steps", after=append(FAR_STEPS))
def far_steps(run):
    for step in range(1, 3):
        run.log({"loss": float(step)}, step=step)


ODD_LINES = """
[1, 2, 3]
"text"
{"ts": 1795446700.0, "type": "note", "data": {"loss": 1, "global_step": 1}}
{"ts": 1795446700.0, "type": "metrics", "data": [1]}
{"ts": 1795446700.0, "type": "metrics", "data": {"loss": 100.0}}
{"ts": 1795446700.0, "type": "metrics", "data": {"loss": 100.0, "global_step": "six"}}
{"ts": 1795446700.0, "type": "metrics", "data": {"loss": 100.0, "global_step": NaN}}
{"ts": 1795446707.0, "type": "metrics", "data": {"loss": 7.0, "step": 7, "epoch": 1}}
{"ts": 1795446708.0, "type": "metrics", "data": {"loss": 8.0, "global_step": "8", "time": 1795446708.5}}
{"ts": 1795446709.0, "type": "metrics", "data": {"loss": 9.0, "global_step": 9.9, "time": 1795446709.5}}
{"data": {"loss": 10.0, "global_step": 10, "time": 1795446710.5}, "type": "metrics", "ts": 1795446710.0}
{"ts":1795446711.0,"type":"metrics","data":{"loss":1e400,"global_step":11,"time":1795446711.5}}
{"ts": 1795446712.0, "type": "metrics", "data": {"loss": 12.0, "l\\u006fss": 12.5, "global_step": 12, "time": 1795446712.5}}
{"ts": 1795446713.0, "type": "metrics", "data": {"step": 1, "loss": 13.0, "epoch": 2, "global_step": 13, "time": 1795446713.5}}
{"ts": 1795446714.0, "type": "metrics", "data": {"loss": 14.0, "step": 14, "global_step": null, "time": 1795446714.5}}
"""


@script("odd_lines", "faults", "odd-lines", after=append(ODD_LINES))
def odd_lines(run):
    run.log({"loss": 1.0}, step=1)


@script("summary", "vision", "summary", alias="Größe 学", tags=("prod",))
def summary(run):
    run.log({"loss": 0.25}, step=1)
    run.summary({"nested": {"depth": {"list": [1, "two", None]}}, "nan": math.nan, "inf": -math.inf})
    run.summary({"large": 2**60 + 1, "flag": True, "nothing": None, "text": "naïve 学", "": "empty key"})


@script("deep", "vision", "deep", path="vision/detection/yolo/ablation", generations=ALL[1:])
def deep(run):
    run.log({"loss": 0.5}, step=1)


@script("one_segment", "solo", "default", path="solo", generations=ALL[1:])
def one_segment(run):
    run.log({"loss": 0.5}, step=1)


@script("no_path", "", "", path="/", generations=ALL[1:])
def no_path(run):
    run.log({"loss": 0.5}, step=1)


@script("unicode_project", "проект α", "имя с пробелом", generations=("0.5",))
def unicode_project(run):
    run.log({"loss": 0.5}, step=1)
