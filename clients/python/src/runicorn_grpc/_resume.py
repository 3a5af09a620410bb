"""When to try again, and after how long. Pure: no clock, no connection."""

from __future__ import annotations

import logging
import random

from .errors import RunicornError

log = logging.getLogger("runicorn_grpc")

FIRST_DELAY = 0.2  # seconds
MAX_DELAY = 10.0


class Backoff:
    """Delays between attempts, growing and jittered.

    limit is the number of attempts after the first one; None is no limit.
    """

    def __init__(self, limit: int | None, jitter: random.Random | None = None) -> None:
        self.limit = limit
        self.failures = 0
        self._jitter = jitter or random.Random()

    def succeeded(self) -> None:
        """Says that an attempt has got somewhere: the next delay is short again."""
        self.failures = 0

    def delay(self, error: RunicornError, what: str) -> float:
        """Returns the seconds to wait, or raises the error if it is final."""
        self.failures += 1
        if not error.resumable or (self.limit is not None and self.failures > self.limit):
            raise error
        base = min(FIRST_DELAY * 2 ** min(self.failures - 1, 10), MAX_DELAY)
        seconds = max(base * self._jitter.uniform(0.5, 1.0), error.retry_after or 0.0)
        # The first break of a stream is everyday life: a restart, a proxy.
        level = logging.INFO if self.failures < 3 else logging.WARNING
        log.log(level, "%s broke (%s: %s); trying again in %.1f s", what, error.code, error, seconds)
        return seconds
