"""Layers of sequences: rows as in `cases.py`."""

from typing import Any

CASES: dict[str, dict[str, Any]] = {}
