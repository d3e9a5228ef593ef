"""Python's collector of cyclic garbage, kept from looking while programs are made.

Tracing and compiling make many objects that stay: equations, types, steps. The collector runs
each time so many are new, walks through them, and finds no garbage; that takes a tenth of the time.
"""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Generator[None]:
    """No collections in the block, in any thread; where the user has none, that stays so."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
