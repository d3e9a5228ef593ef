"""The backends that `jit` compiles for; each is imported at its first use."""

from funcflow.core.backend import Backend, register_backend


def _reference() -> Backend:
    from funcflow.backends.reference import ReferenceBackend

    return ReferenceBackend()


def _cpu() -> Backend:
    from funcflow.backends.numba.backend import CpuBackend

    return CpuBackend()


def register_all() -> None:
    """Offer all backends."""
    register_backend("cpu", _cpu)
    register_backend("reference", _reference)
