"""A number of each epoch's logs, watched for its best value."""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from funcflow.core.errors import ArgumentError


class Monitor(NamedTuple):
    """Which number to watch, and whether less or more of it is better."""

    name: str
    mode: Literal["min", "max"] = "min"
    min_delta: float = 0.0

    @property
    def worst(self) -> float:
        """A value that any other is better than."""
        return math.inf if self.mode == "min" else -math.inf

    def value(self, logs: Mapping[str, Any]) -> float:
        """The number.

        Raises:
            ArgumentError: the logs have no such number.
        """
        if self.name not in logs:
            raise ArgumentError(
                f"there is no {self.name!r} to monitor: an epoch has {', '.join(logs)}",
                mend="numbers that start with val_ need fit(..., validation=...)",
            )
        return float(logs[self.name])

    def is_better(self, logs: Mapping[str, Any], best: float) -> bool:
        """Whether the number is better than another one, by more than `min_delta`."""
        gain = best - self.value(logs) if self.mode == "min" else self.value(logs) - best
        return gain > self.min_delta
