"""How often a program is compiled."""

from collections.abc import Generator
from contextlib import contextmanager

from funcflow.core.backend import get_backend
from funcflow.core.config import config
from funcflow.core.executables import observers


@contextmanager
def assert_compiles(max: int, *, kernels: int | None = None) -> Generator[list[str]]:
    """Check that not more than so many programs are compiled in the block, by any thread.

    A program is what `jit` compiles for one signature; programs that are known, from another
    function or another derivative, are not compiled again. The block's value is a list that grows
    with each of them: the function's name, and why the call missed.

    Args:
        max: how many programs may be compiled.
        kernels: how many native functions may be compiled. Programs share them, so that a new shape
            compiles a program, but no kernel.

    Raises:
        AssertionError: there were more; it says which and why.

    Example:
        >>> f = ff.jit(lambda x: 3 * x + 5)
        >>> with ff.testing.assert_compiles(max=1):
        ...     for _ in range(3):
        ...         y = f(fnp.ones(3))
    """
    compiled: list[str] = []
    backend = get_backend(config.backend)
    before = backend.kernels_compiled()
    observers.append(compiled.append)
    try:
        yield compiled
    finally:
        observers.remove(compiled.append)
    found = backend.kernels_compiled() - before
    if len(compiled) > max:
        raise AssertionError(
            f"{len(compiled)} programs were compiled, at most {max} may be:\n"
            + "\n".join(f"  {program}" for program in compiled)
        )
    if kernels is not None and found > kernels:
        raise AssertionError(
            f"{found} kernels were compiled, at most {kernels} may be; the programs:\n"
            + "\n".join(f"  {program}" for program in compiled)
        )
