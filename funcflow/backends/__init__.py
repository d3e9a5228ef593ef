"""The backends that `jit` compiles for; each is imported at its first use."""

from funcflow.core.backend import Backend, Inspector, register_backend


def _reference() -> Backend:
    from funcflow.backends.reference import ReferenceBackend

    return ReferenceBackend()


def _reference_inspector() -> Inspector:
    from funcflow.backends.reference import ReferenceInspector

    return ReferenceInspector()


def _cpu() -> Backend:
    from funcflow.backends.numba.backend import CpuBackend

    return CpuBackend()


def _cpu_inspector() -> Inspector:
    from funcflow.backends.numba.inspector import CpuInspector

    return CpuInspector()


def register_all() -> None:
    """Offer all backends."""
    register_backend("cpu", _cpu, _cpu_inspector)
    register_backend("reference", _reference, _reference_inspector)
