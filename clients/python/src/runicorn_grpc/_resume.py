"""Whether to retry, and after which delay. Pure: no clock, no connection."""

from __future__ import annotations

import logging
import random

from .errors import RunicornError

log = logging.getLogger("runicorn_grpc")

FIRST_DELAY = 0.2  # seconds
MAX_DELAY = 10.0


class Backoff:
    """Delays between attempts: exponential, with jitter.

    limit is the maximum number of consecutive retries; None is no limit.
    """

    def __init__(self, limit: int | None, jitter: random.Random | None = None) -> None:
        self.limit = limit
        self.failures = 0
        self._jitter = jitter or random.Random()

    def succeeded(self) -> None:
        """Records that an attempt made progress, which resets the delay."""
        self.failures = 0

    def delay(self, error: RunicornError, what: str) -> float:
        """Returns the seconds to wait, or raises the error if it is final."""
        self.failures += 1
        if not error.resumable or (self.limit is not None and self.failures > self.limit):
            raise error
        base = min(FIRST_DELAY * 2 ** min(self.failures - 1, 10), MAX_DELAY)
        seconds = max(base * self._jitter.uniform(0.5, 1.0), error.retry_after or 0.0)
        # The first failures of a stream are normal, such as a restart or a proxy.
        level = logging.INFO if self.failures < 3 else logging.WARNING
        log.log(level, "%s failed (%s: %s); retrying in %.1f s", what, error.code, error, seconds)
        return seconds
