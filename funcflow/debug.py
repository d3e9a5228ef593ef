"""Seeing into traced programs: `ff.debug.print`, `ff.debug.callback`."""

from funcflow.transforms.callback import debug_callback as callback
from funcflow.transforms.callback import debug_print as print

__all__ = ["callback", "print"]
