"""`numba_kernel`: a user's own `@numba.njit` function as an operation that transforms know."""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, ShapeDtypeStruct
from funcflow.core.errors import ArgumentError, DtypeError
from funcflow.core.flatten import flatten_arguments, name_of
from funcflow.core.pytree import tree_flatten, tree_map
from funcflow.core.source import Source
from funcflow.lax.user_kernel import UserKernel, user_kernel_p
from funcflow.transforms.custom_jvp import custom_jvp
from funcflow.transforms.custom_vjp import custom_vjp


class numba_kernel:
    """Make a function of arrays from one that Numba compiles.

    Args:
        fn: decorated with `@numba.njit`; called as `fn(*inputs, *outputs)`, it fills the outputs
            and returns nothing. Inputs are C-contiguous arrays that cannot be written, or numbers
            where they have no axes; a pytree stands for its leaves. Outputs are C-contiguous
            arrays that hold anything at first; one without axes is written by `out[()] = ...`.
        out: what the outputs are: a pytree of `ShapeDtypeStruct` (or of anything else with shape
            and dtype), or a function that returns it, given such structs for the arguments.

    The result is a function of arrays. It must be pure: a call may be dropped, repeated or moved.
    In a jitted program it is one native step, without a way through Python; `vmap` calls the
    kernel for each lane, in native code where the call is jitted.

    Derivatives need a rule: `defjvp`, `defjvps` or `defvjp`, as in `custom_jvp` and `custom_vjp`.

    Raises:
        ArgumentError: `fn` is not compiled by Numba, takes another number of arguments, returns
            something, or does not compile for the arguments' types (Numba's reason is shown).
        DtypeError: Numba does not know the dtype of an argument or output.
        CallbackError: the kernel raised an exception.
        NotDifferentiableError: a derivative is asked for, and there is no rule.

    Example:
        >>> import numba
        >>> @numba.njit
        ... def running_maximum(x, out):
        ...     largest = x[0]
        ...     for i in range(x.size):
        ...         largest = max(largest, x[i])
        ...         out[i] = largest
        >>> running_max = ff.numba_kernel(running_maximum, out=lambda x: x)
        >>> ff.jit(running_max)(fnp.array([1.0, 3.0, 2.0]))
        Array([1., 3., 3.], dtype=float32)
        >>> @numba.njit
        ... def cube(x, out):
        ...     out[:] = x**3
        >>> cubed = ff.numba_kernel(cube, out=lambda x: x)
        >>> cubed.defjvps(lambda t, y, x: 3 * x**2 * t)
        >>> ff.vmap(ff.grad(lambda x: fnp.sum(cubed(x))))(fnp.array([[1.0], [2.0]]))
        Array([[ 3.],
               [12.]], dtype=float32)
    """

    def __init__(self, fn: Callable[..., None], out: Any) -> None:
        from numba.extending import is_jitted

        if not is_jitted(fn):
            raise ArgumentError(
                f"numba_kernel: {name_of(fn)} is not compiled by Numba",
                mend="decorate the function with @numba.njit",
            )
        self.__name__ = name_of(fn)
        self.__doc__ = fn.__doc__
        self._kernel = UserKernel(fn, read_only=_takes_any_types(fn))
        self._out = out
        self._checked: set[Any] = set()
        self._rule: Callable[..., Any] | None = None

    def __call__(self, *args: Any) -> Any:
        return self._bind(*args) if self._rule is None else self._rule(*args)

    def __repr__(self) -> str:
        return f"numba_kernel({self.__name__})"

    # --- derivatives ----------------------------------------------------------------------------

    def defjvp(self, jvp: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule `jvp(primals, tangents) -> (primal_out, tangent_out)`, for both modes."""
        self._rule = rule = custom_jvp(self._primal())
        return rule.defjvp(jvp)

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Set one rule per argument, `jvp(tangent, primal_out, *primals)`; None for zero."""
        self._rule = rule = custom_jvp(self._primal())
        rule.defjvps(*jvps)

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the reverse rule: `fwd(*args) -> (out, residuals)`, `bwd(residuals, ct) -> cts`."""
        self._rule = rule = custom_vjp(self._primal())
        rule.defvjp(fwd, bwd)

    def _primal(self) -> Callable[..., Any]:
        """The kernel without a rule, as a function with the kernel's name."""

        def primal(*args: Any) -> Any:
            return self._bind(*args)

        primal.__name__ = self.__name__
        return primal

    # --- calls ----------------------------------------------------------------------------------

    def _bind(self, *args: Any) -> Any:
        leaves, _ = flatten_arguments(self.__name__, args, {})
        structs, out_tree = tree_flatten(self._outputs(args))
        out_avals = tuple(aval_of(s).strip_weak_type() for s in structs)
        self._check([aval_of(x) for x in leaves], out_avals)
        outs = user_kernel_p.bind(*leaves, kernel=self._kernel, lanes=(), out_avals=out_avals)
        return out_tree.unflatten(outs)

    def _outputs(self, args: tuple[Any, ...]) -> Any:
        if not callable(self._out):
            return self._out
        return self._out(*tree_map(_struct, args))

    def _check(self, inputs: Sequence[ShapedArray], outputs: Sequence[ShapedArray]) -> None:
        """Compile for the types of the arguments, once."""
        key = tuple([(a.dtype, a.ndim) for a in (*inputs, *outputs)])
        if (len(inputs), key) not in self._checked:
            _check_count(self._kernel, len(inputs), len(outputs))
            _compile(self._kernel, inputs, outputs)
            self._checked.add((len(inputs), key))


def _struct(x: Any) -> ShapeDtypeStruct:
    aval = aval_of(x)
    return ShapeDtypeStruct(aval.shape, aval.dtype)


def _takes_any_types(fn: Any) -> bool:
    """Whether Numba compiles a function for the types it is called with, not for given ones."""
    given = fn.nopython_signatures
    if not given:
        return True
    try:
        fn.compile(given[0])  # which is there: this only asks whether compiling is allowed
    except RuntimeError:
        return False
    return True


def _check_count(kernel: UserKernel, inputs: int, outputs: int) -> None:
    fn: Any = kernel.function
    signature = inspect.signature(fn.py_func)
    try:
        signature.bind(*range(inputs + outputs))
    except TypeError:
        raise ArgumentError(
            f"numba_kernel: {kernel.__name__}{signature} is called with {inputs} inputs and "
            f"{outputs} outputs",
            mend="the function takes the inputs and then the outputs, each as one argument",
        ) from None


# --- compiling ------------------------------------------------------------------------------------


def _compile(
    kernel: UserKernel, inputs: Sequence[ShapedArray], outputs: Sequence[ShapedArray]
) -> None:
    """Let Numba compile a kernel for arguments of some types; its errors become ours."""
    from numba import typeof
    from numba.core.errors import NumbaError
    from numba.core.registry import cpu_target

    types = [_numba_type(kernel, a, kernel.read_only) for a in inputs]
    types += [_numba_type(kernel, a, False, written=True) for a in outputs]
    what = f"the kernel {kernel.__name__} for {_listed(inputs)} -> {_listed(outputs)}"
    try:
        function: Any = typeof(kernel.function)
        called = function.get_call_type(cpu_target.typing_context, types, {})
    except NumbaError as error:
        raise ArgumentError(
            f"numba cannot compile {what}: {_shortened(error)}",
            mend="the whole of Numba's message is in the traceback above",
        ) from error
    if called is None:
        raise ArgumentError(
            f"no signature of {what}",
            mend="leave the signatures out of @numba.njit, or add one for these types",
        )
    if str(called.return_type) != "none":
        raise ArgumentError(
            f"the numba kernel {kernel.__name__} returns {called.return_type}",
            mend="write the results into the last arguments, and return nothing",
        )


def _numba_type(
    kernel: UserKernel, aval: ShapedArray, read_only: bool, written: bool = False
) -> Any:
    from numba import from_dtype, types
    from numba.core.errors import NumbaError

    try:
        scalar = from_dtype(aval.dtype)
    except NumbaError as error:
        raise DtypeError(
            f"numba_kernel: Numba does not know {aval.dtype}, the dtype of "
            f"an {'output' if written else 'argument'} of {kernel.__name__}",
            mend="convert to float32 before the kernel, and back behind it",
        ) from error
    if not aval.ndim and not written:
        return scalar
    return types.Array(scalar, aval.ndim, "C", readonly=read_only)


def _listed(avals: Sequence[ShapedArray]) -> str:
    return f"({', '.join(map(str, avals))})"


def _shortened(error: Exception) -> str:
    """The user's line and Numba's reason, out of a message of some thirty lines."""
    message = str(error)
    innermost = re.search(r"^ *\w+Error: (.+)$", message, re.MULTILINE)
    lines = [line.strip() for line in message.splitlines()]
    lines = [s for s in lines if s and not s.startswith("Failed in nopython mode")]
    reason = innermost[1] if innermost else lines[0]
    if reason.endswith(":"):  # a signature follows
        reason += " " + next((s[4:] for s in lines if s.startswith(">>> ")), "")
    place = getattr(error, "loc", None)
    if place is None:
        return reason
    source = Source(place.filename, place.line, "")
    return f"{source.place}: {source.text()}: {reason}"
