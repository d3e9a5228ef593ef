"""einops: `rearrange`, `reduce`, `repeat`, `einsum`, `pack` and `unpack` on arrays and tracers."""

import functools
from typing import Any

import numpy as np

import funcflow.numpy as fnp


def register_einops() -> None:
    """Let einops' functions take arrays of funcflow, also traced ones.

    Call it once, before the first use; more calls do nothing. The functions of `einops.array_api`
    take them without it.

    Raises:
        ModuleNotFoundError: einops is not installed.

    Example::

        import einops

        ff.interop.register_einops()

        class Patches(nn.Module):
            def __call__(self, x):
                return einops.rearrange(x, "b (h p) (w q) c -> b (h w) (p q c)", p=4, q=4)
    """
    _backend()


@functools.cache
def _backend() -> type[Any]:
    """Einops finds the class among the subclasses of its own, as long as it is alive."""
    from einops._backends import NumpyBackend

    class FuncflowBackend(NumpyBackend):
        """NumPy's functions, from `funcflow.numpy`."""

        framework_name = "funcflow"

        def __init__(self) -> None:
            super().__init__()
            self.np = fnp

        def from_numpy(self, x: Any) -> Any:
            return fnp.asarray(x)

        def to_numpy(self, x: Any) -> Any:
            return np.asarray(x)

        def tile(self, x: Any, repeats: Any) -> Any:
            """Only axes of extent 1 are repeated, so it is a view."""
            return fnp.broadcast_to(x, [n * k for n, k in zip(x.shape, repeats, strict=True)])

    return FuncflowBackend
