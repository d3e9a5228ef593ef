"""The primitive behind `ff.numba_kernel`: a function of the user's, compiled by Numba.

The function writes its results into its last arguments. Under `vmap` the operands get *lane axes*
in front, of the lanes' extent or, where an operand is not mapped, of extent 1 (as in a generalised
ufunc), and the function is called once for each lane.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.errors import CallbackError, NotDifferentiableError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONLINEAR, define
from funcflow.lax.shape import expand_dims, moveaxis

user_kernel_p = Primitive("numba_kernel", multiple_results=True)


class UserKernel:
    """A function compiled by Numba, `function(*inputs, *outputs)`. Equality is the function's.

    Args:
        function: Numba's dispatcher.
        read_only: whether Numba may be told that inputs are not written. It may not where the
            user has fixed the types of the arguments, since these do not say so.
    """

    def __init__(self, function: Callable[..., None], read_only: bool) -> None:
        self.function = function
        self.read_only = read_only
        self.__name__ = function.__name__

    def __hash__(self) -> int:
        return hash(self.function)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UserKernel) and self.function is other.function

    def run(
        self,
        lanes: tuple[int, ...],
        inputs: Sequence[np.ndarray[Any, Any]],
        outputs: Sequence[np.ndarray[Any, Any]],
    ) -> None:
        """Call the function for each lane.

        Raises:
            Exception: what the function raises.
        """
        own = [self._input(x, lanes) for x in inputs]
        for lane in np.ndindex(lanes):
            # an input without axes is a number, an output without axes is an array all the same
            self.function(*[x[lane] for x in own], *[y[(*lane, ...)] for y in outputs])

    def _input(self, x: np.ndarray[Any, Any], lanes: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """An operand with all lanes, each of them in C order."""
        x = np.asarray(x, order="C")
        x = np.broadcast_to(x, (*lanes, *x.shape[len(lanes) :])) if lanes else x.view()
        if self.read_only:
            x.flags.writeable = False
        return x if self.read_only or x.flags.writeable else x.copy()


def kernel_failure(name: str, error: BaseException) -> CallbackError:
    """The error for a kernel that raised one."""
    return CallbackError(
        f"the numba kernel {name} raised {type(error).__name__}: {error}",
        mend=f"call {name}.py_func on NumPy arrays: its traceback names the kernel's line",
    )


# --- rules ------------------------------------------------------------------------------------


def _abstract(
    *avals: ShapedArray,
    kernel: UserKernel,
    lanes: tuple[int, ...],
    out_avals: tuple[ShapedArray, ...],
) -> list[ShapedArray]:
    return [a.update(shape=(*lanes, *a.shape)) for a in out_avals]


def _impl(
    xp: Any,
    *buffers: Any,
    kernel: UserKernel,
    lanes: tuple[int, ...],
    out_avals: tuple[ShapedArray, ...],
) -> list[Any]:
    outputs = [np.empty((*lanes, *a.shape), a.dtype) for a in out_avals]
    try:
        kernel.run(lanes, buffers, outputs)
    except Exception as error:
        raise kernel_failure(kernel.__name__, error) from error
    return outputs


def _jvp(
    ctx: Any,
    primals: Any,
    tangents: Any,
    *,
    kernel: UserKernel,
    out_avals: tuple[ShapedArray, ...],
    **params: Any,
) -> Any:
    if any(dtypes.is_inexact(a.dtype) for a in out_avals):
        raise NotDifferentiableError(
            f"the numba kernel {kernel.__name__} has no derivative rule",
            mend="give it one with its method defjvp or defvjp, or wrap it in ff.custom_vjp",
        )
    outs = user_kernel_p.bind(*primals, kernel=kernel, out_avals=out_avals, **params)
    return outs, [Zero(aval_of(x)) for x in outs]


def _batch(ctx: Any, args: Any, dims: Any, *, lanes: tuple[int, ...], **params: Any) -> Any:
    full = [
        expand_dims(x, (0,)) if d is None else moveaxis(x, d, 0)
        for x, d in zip(args, dims, strict=True)
    ]
    outs = user_kernel_p.bind(*full, lanes=(ctx.size, *lanes), **params)
    return outs, [0] * len(outs)


define(
    user_kernel_p,
    abstract=_abstract,
    impl=_impl,
    jvp=_jvp,
    transpose=NONLINEAR,
    batch=_batch,
)
