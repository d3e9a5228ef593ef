"""What the operating system says of this processor: asking LLVM means to import llvmlite.

Linux describes each processor of x86-64 by lines `name : value`. Elsewhere nothing is known here.
"""

import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_DESCRIPTION = Path("/proc/cpuinfo")
# What code depends on; the other lines are of the moment, or of one processor of many.
_FIELDS = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")
_MOST_BYTES = 2**13  # of the description of one processor


@cache
def signature() -> str | None:
    """A text that differs for processors that want different code; None if it is unknown."""
    found = _described()
    return None if found is None else f"{sys.platform} x86_64 " + " ".join(found.values())


@cache
def features() -> frozenset[str] | None:
    """The names of the instruction sets that may be used; None if they are unknown."""
    found = _described()
    return None if found is None else frozenset(found["flags"].split())


def _described() -> Mapping[str, str] | None:
    if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":
        return None
    try:
        with open(_DESCRIPTION) as file:
            first, end, _ = file.read(_MOST_BYTES).partition("\n\n")
    except OSError:
        return None
    pairs = [line.partition(":") for line in first.splitlines()]
    lines = {name.strip(): value.strip() for name, _, value in pairs}
    if not end or not all(name in lines for name in _FIELDS):
        return None
    return {name: lines[name] for name in _FIELDS}
