"""Comparisons of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _contract

if TYPE_CHECKING:
    import pandas as pd

    from .types import CompareExperimentsResponse as Base
else:
    Base = _contract.record_class("CompareExperimentsResponse")


class Comparison(Base):
    """Metrics of several runs over a common axis: .comparisons, .not_read, .complete."""

    __slots__ = ()

    def to_pandas(self, metric: str | None = None) -> pd.DataFrame:
        """Returns a pandas.DataFrame of one metric, which may be omitted if there is
        only one: index step (or seconds), a column per run id (resource name, if two
        Viewers have the same id), NaN where a run has no value."""
        import numpy as np
        import pandas as pd

        found = [c for c in self.proto.comparisons if metric is None or c.metric_name == metric]
        if len(found) != 1:
            raise KeyError(f"{metric!r}: want one of {[c.metric_name for c in self.proto.comparisons]}")
        compared = found[0]
        index = pd.Index(list(compared.seconds), name="seconds") if compared.seconds else pd.Index(list(compared.steps), dtype="int64", name="step")
        ids = [s.run_id for s in compared.series]
        data: dict[str, Any] = {}
        for series in compared.series:
            column = np.full(len(index), np.nan)
            column[list(series.rows)] = list(series.values)
            data[series.run_id if ids.count(series.run_id) == 1 else series.resource_name] = column
        return pd.DataFrame(data, index=index)
