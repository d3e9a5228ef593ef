"""What a training measured: one row of numbers for each epoch."""

from collections.abc import Iterator, Mapping
from typing import Any


class History:
    """The rows of a training, one for each epoch that came to its end.

    `history["loss"]` is a column; rows that lack the name are left out.

    Example:
        >>> history = ff.train.History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
        >>> history["loss"], history.last["epoch"], len(history)
        ([0.5, 0.25], 2, 2)
    """

    def __init__(self, rows: list[Mapping[str, Any]] | None = None) -> None:
        self.rows: list[dict[str, Any]] = [dict(row) for row in rows or []]

    def append(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Add the row of an epoch, and return it: what is added to it is in the history."""
        self.rows.append(dict(row))
        return self.rows[-1]

    @property
    def last(self) -> dict[str, Any]:
        """The row of the last epoch; empty before the first one's end."""
        return self.rows[-1] if self.rows else {}

    @property
    def names(self) -> list[str]:
        """The names of the columns, in the order in which they came up."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self.names:
            raise KeyError(f"{name!r}; the history has {', '.join(self.names) or 'no rows'}")
        return [row[name] for row in self.rows if name in row]

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"History({self.rows!r})"
