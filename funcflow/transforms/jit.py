"""`jit`: trace once per signature, simplify, compile, and run the compiled program.

Two caches: each jitted function remembers the jaxpr of every signature it was called with, and
all share one cache of executables keyed by the jaxprs' structure, so that equal programs are
compiled once. Arrays that the function captures are arguments of the program, never constants
in it.
"""

from collections.abc import Callable, Generator, Hashable, Sequence
from contextlib import contextmanager
from functools import wraps
from types import MethodType
from typing import Any, TypeAlias

from funcflow.core.array import ConcreteArray, as_buffer, aval_of, wrap
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.backend import Executable, Explanation
from funcflow.core.collector import collection_paused
from funcflow.core.config import config
from funcflow.core.errors import CompileError, NaNError, OutOfMemoryError
from funcflow.core.executables import compiled, lowered
from funcflow.core.flatten import (
    FlatFunction,
    argument_names,
    check_function,
    flatten_arguments,
    name_of,
)
from funcflow.core.jaxpr import Atom, ClosedJaxpr
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import PyTreeDef, tree_flatten
from funcflow.core.rewrite import constants_to_arguments, hoist
from funcflow.core.rules import CALLS, define
from funcflow.core.source import attributed
from funcflow.core.staging import SplitJaxpr, stage_out
from funcflow.core.trace import EVAL, EvalTrace, Tracer, current_trace, set_trace
from funcflow.core.tracebacks import hide_internal_frames, hides_internal_frames
from funcflow.lax.progress_bar import abandon
from funcflow.transforms.dispatch import (
    DirectCall,
    KnownCall,
    direct_call,
    known_call,
    results_maker,
    signature,
)
from funcflow.transforms.donation import DonatedArguments, Donation
from funcflow.transforms.signatures import MAX_ENTRIES, CacheInfo, Signature, Signatures
from funcflow.transforms.stages import Lowered, Traced
from funcflow.transforms.static_arguments import StaticArguments, listed
from funcflow.transforms.whereabouts import at

# --- the primitive --------------------------------------------------------------------------

jit_p = Primitive("jit", multiple_results=True)


def _jit_abstract(*avals: ShapedArray, jaxpr: ClosedJaxpr, name: str) -> list[ShapedArray]:
    return jaxpr.out_avals


def _jit_impl(xp: Any, *buffers: Any, jaxpr: ClosedJaxpr, name: str) -> Sequence[Any]:
    return compiled(jaxpr, lambda: f"jit of {name}, in a transformation")(*buffers)


def _jit_jvp(ctx: Any, primals: Any, tangents: Any, *, jaxpr: ClosedJaxpr, name: str) -> Any:
    nonzero = [type(t) is not Zero for t in tangents]
    inner, out_nonzero = ctx.jaxpr(jaxpr, nonzero, False)
    given = [t for t in tangents if type(t) is not Zero]
    outs = bind_jit(inner, name, *primals, *given)
    count = len(jaxpr.jaxpr.outvars)
    rest = iter(outs[count:])
    out_tangents = [
        next(rest) if nz else Zero(aval_of(x))
        for x, nz in zip(outs[:count], out_nonzero, strict=True)
    ]
    return outs[:count], out_tangents


def _jit_batch(ctx: Any, args: Any, dims: Any, *, jaxpr: ClosedJaxpr, name: str) -> Any:
    args = [x if d is None else ctx.to_front(x, d) for x, d in zip(args, dims, strict=True)]
    inner, out_batched = ctx.jaxpr(jaxpr, [d is not None for d in dims], False)
    return bind_jit(inner, name, *args), [0 if b else None for b in out_batched]


def _jit_partial_eval(
    ctx: Any, unknown: Any, args: Any, *, jaxpr: ClosedJaxpr, name: str
) -> list[Any]:
    split = ctx.jaxpr(jaxpr, unknown, False)
    known = [x for x, u in zip(args, unknown, strict=True) if not u]
    known_outs, residuals = _run_known(split, name, known)
    staged_args = [*residuals, *(x for x, u in zip(args, unknown, strict=True) if u)]
    staged = ctx.stage(jit_p, staged_args, {"jaxpr": split.staged, "name": name})
    known_iter, staged_iter = iter(known_outs), iter(staged)
    return [next(staged_iter) if u else next(known_iter) for u in split.unknown_outs]


def _run_known(split: SplitJaxpr, name: str, known: list[Any]) -> tuple[list[Any], list[Any]]:
    """The known outputs and the residuals; inputs and outputs are not handed out a second time."""
    hoisted, more = hoist(split.known)
    jaxpr, args = hoisted.jaxpr, [*more, *known]
    count = len(jaxpr.outvars) - split.residuals
    values: dict[Atom, Any] = dict(zip(jaxpr.invars, args, strict=True))
    outvars, residuals = list(jaxpr.outvars[:count]), jaxpr.outvars[count:]
    outvars += dict.fromkeys(v for v in residuals if v not in values and v not in outvars)
    outs = bind_jit(ClosedJaxpr(jaxpr.replace(outvars=outvars)), name, *args)
    values |= zip(outvars, outs, strict=True)
    return outs[:count], [values[v] for v in residuals]


def bind_jit(closed: ClosedJaxpr, name: str, *args: Any) -> list[Any]:
    """Call a jaxpr as one jitted function; its constants become arguments."""
    hoisted = ClosedJaxpr(constants_to_arguments(closed.jaxpr))
    return jit_p.bind(*closed.consts, *args, jaxpr=hoisted, name=name)


define(
    jit_p,
    abstract=_jit_abstract,
    impl=_jit_impl,
    jvp=_jit_jvp,
    transpose=CALLS,
    batch=_jit_batch,
    partial_eval=_jit_partial_eval,
    effects=lambda *, jaxpr, name: jaxpr.effects,
)

# --- the user's side ------------------------------------------------------------------------


class _Entry:
    """What is known of one signature of a jitted function."""

    __slots__ = ("consts", "donation", "executable", "jaxpr", "out_tree", "weak")

    def __init__(self, closed: ClosedJaxpr, out_tree: PyTreeDef) -> None:
        self.jaxpr = ClosedJaxpr(constants_to_arguments(closed.jaxpr))
        self.consts = closed.consts
        self.out_tree = out_tree
        self.weak = [a.weak_type for a in closed.out_avals]
        self.executable: Executable | None = None
        self.donation: Donation | None = None


_Ways: TypeAlias = tuple[KnownCall, DirectCall | None]  # in which a signature is called


class JitFunction:
    """A function that is compiled for each signature it is called with."""

    def __init__(
        self,
        fun: Callable[..., Any],
        static_argnums: tuple[int, ...] = (),
        static_argnames: tuple[str, ...] = (),
        donate_argnums: tuple[int, ...] = (),
        donate_argnames: tuple[str, ...] = (),
        strict_donation: bool = False,
    ) -> None:
        wraps(fun)(self)
        self._fun = fun
        self._name = name = name_of(fun)
        self._static = StaticArguments(f"jit of {name}", fun, static_argnums, static_argnames)
        self._donated = DonatedArguments(
            f"jit of {name}", fun, donate_argnums, donate_argnames, self._static, strict_donation
        )
        self._signatures: Signatures[_Entry] = Signatures()
        self._known: dict[Hashable, _Ways] = {}
        # The direct way is that of one signature: a new one, or one that came twice the other way.
        self._direct: DirectCall | None = None
        self._before: _Ways | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        key = None
        try:
            direct = self._direct
            if direct is not None and not kwargs and (result := direct(args)) is not None:
                self._signatures.hits += 1
                return result
            if not kwargs and (known := signature(args)) is not None:
                key, buffers, leaves = known
                ways = self._known.get(key)
                if ways is not None:
                    call, direct = ways
                    if ways is self._before:
                        self._direct = direct
                    self._before = ways
                    self._signatures.hits += 1
                    del known  # so that only the list refers to what may be given away
                    return call(buffers, leaves)
                del known, buffers, leaves
            if config.disable_jit:
                return self._fun(*args, **kwargs)
            return self._general(args, kwargs, key)
        except OutOfMemoryError:  # of a step, which says what it has no memory for
            raise
        except MemoryError as error:
            raise self._out_of_memory(args, kwargs) from error
        except CompileError as error:
            error.add_note(f"while compiling {self._name} for jit")
            raise
        except BaseException as error:
            abandon()
            if isinstance(error, Exception):
                hide_internal_frames(error)
            raise

    def _out_of_memory(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OutOfMemoryError:
        needed = self.lower(*args, **kwargs).memory()
        return OutOfMemoryError(
            f"jit of {self._name}: there is not enough memory; the call needs {needed}",
            mend="compute in smaller parts, recompute instead of keeping (ff.checkpoint), or "
            "donate arguments",
        )

    def _general(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: Hashable) -> Any:
        """A call of any kind; one that is likely to come again is remembered under the key."""
        given = args, kwargs
        fun, args, kwargs, static = self._static.bind(self._fun, args, kwargs)
        leaves, in_tree = flatten_arguments(f"jit of {self._name}", args, kwargs)
        entry = self._entry(fun, leaves, in_tree, static)
        if current_trace.get() is EVAL and not any(isinstance(x, Tracer) for x in leaves):
            executable = self._executable(entry, in_tree, given)
            if key is not None and not static:  # now: the call may give its arguments away
                self._remember(key, executable, entry, args)
            outs = self._run(executable, entry, leaves)
        else:
            outs = self._bind(entry, leaves, in_tree)
        return entry.out_tree.unflatten(outs)

    def _bind(self, entry: _Entry, leaves: list[Any], in_tree: PyTreeDef) -> list[Any]:
        """Call the program as an operation, whatever the current trace makes of that."""
        try:
            return jit_p.bind(*entry.consts, *leaves, jaxpr=entry.jaxpr, name=self._name)
        except NaNError as error:
            if error.operand is None or not isinstance(current_trace.get(), EvalTrace):
                raise
            number, index = error.operand
            names = [*["a captured array"] * len(entry.consts), *argument_names(in_tree)]
            read = entry.jaxpr.jaxpr.invars[number]
            lines = (eqn.source for eqn in entry.jaxpr.eqns if read in eqn.invars)
            message = f"jit of {self._name}: {names[number]} is NaN{at(index)}, and so is a result"
            mend = "look at where it comes from; the line is where it is used first"
            raise attributed(next(lines, None), NaNError, message, mend=mend) from None

    def _executable(
        self, entry: _Entry, in_tree: PyTreeDef, given: tuple[tuple[Any, ...], dict[str, Any]]
    ) -> Executable:
        if entry.executable is None:
            name = f"jit of {self._name}"
            why = self._signatures.why
            executable = compiled(entry.jaxpr, lambda: f"{name}: {why()}", is_lowered=True)
            if self._donated:
                leaves, strict = self._donated.leaves(*given), self._donated.strict
                consts = len(entry.consts)
                entry.donation = Donation.of(name, executable, consts, leaves, in_tree, strict)
            entry.executable = executable
        return entry.executable

    def _run(self, executable: Executable, entry: _Entry, leaves: list[Any]) -> list[ConcreteArray]:
        buffers = [as_buffer(x) for x in (*entry.consts, *leaves)]
        if entry.donation is None:
            outs = executable(*buffers)
        else:
            outs = entry.donation.run(executable, buffers, leaves)
        return [wrap(x, weak) for x, weak in zip(outs, entry.weak, strict=True)]

    def _remember(
        self,
        key: Hashable,
        executable: Executable,
        entry: _Entry,
        args: tuple[Any, ...],
    ) -> None:
        """Let calls of this signature take the short way."""
        constants = tuple(map(as_buffer, entry.consts))
        results = results_maker(entry.weak, entry.out_tree)
        call = known_call(executable, constants, results, entry.donation)
        direct = direct_call(executable, constants, results, entry.donation, args)
        self._known[key] = call, direct
        self._direct = direct
        if len(self._known) > MAX_ENTRIES:
            self._known.clear()

    def _entry(
        self, fun: Callable[..., Any], leaves: list[Any], in_tree: PyTreeDef, static: Hashable
    ) -> _Entry:
        avals = [aval_of(x) for x in leaves]

        def traced() -> _Entry:
            with collection_paused():
                closed, out_tree = self._trace(fun, avals, in_tree)
                return _Entry(lowered(closed), out_tree)

        return self._signatures.get(Signature.of(in_tree, avals, static), traced)

    def _trace(
        self, fun: Callable[..., Any], avals: list[ShapedArray], in_tree: PyTreeDef
    ) -> tuple[ClosedJaxpr, PyTreeDef]:
        flat = FlatFunction(fun, in_tree)
        return stage_out(flat, avals), flat.out_tree

    @hides_internal_frames
    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """The function traced for arguments (or `ShapeDtypeStruct`s) like these."""
        given = args, kwargs
        fun, args, kwargs, _ = self._static.bind(self._fun, args, kwargs)
        leaves, in_tree = tree_flatten((args, kwargs))
        closed, out_tree = self._trace(fun, [aval_of(x) for x in leaves], in_tree)
        donated = self._donated.leaves(*given)
        return Traced(self._name, closed, in_tree, out_tree, donated, self._donated.strict)

    @hides_internal_frames
    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """The simplified program for arguments (or `ShapeDtypeStruct`s) like these."""
        return self.trace(*args, **kwargs).lower()

    @hides_internal_frames
    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The result's shapes and dtypes, without computing."""
        return self.trace(*args, **kwargs).out_info

    @hides_internal_frames
    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """What the compiled program does, step by step; print it.

        For arrays the program is run a few times, and the time of each step is told; for
        `ShapeDtypeStruct`s it is not.

        Example:
            >>> x = ff.ShapeDtypeStruct((3,), "float32")
            >>> ff.jit(lambda x: fnp.sum(x * x)).explain(x).steps[0].computes
            ('mul', 'sum')
        """
        _, dynamic, named, _ = self._static.bind(self._fun, args, kwargs)
        return self.lower(*args, **kwargs).explain(*tree_flatten((dynamic, named))[0])

    @hides_internal_frames
    def source(self, *args: Any, **kwargs: Any) -> str:
        """The kernels of the compiled program as Python functions that Numba can compile.

        Comments list the program's steps, and tell which of the function's lines a line computes.
        """
        return self.lower(*args, **kwargs).as_text("source")

    def cache_info(self) -> CacheInfo:
        """Hits and misses of the cache of signatures, and why the last calls missed.

        Example:
            >>> f = ff.jit(lambda x: x + 1)
            >>> x, y = f(fnp.ones(3)), f(fnp.ones(4))
            >>> f.cache_info().reasons
            ('first call', 'args[0]: float32[3] became float32[4]')
        """
        return self._signatures.info()

    def clear_cache(self) -> None:
        """Forget all signatures."""
        self._signatures.clear()
        self._known.clear()
        self._direct = self._before = None

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        # a jitted method is bound like any other
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<jitted {self._name}>"


def jit(
    fun: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Sequence[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Sequence[str] | None = None,
    strict_donation: bool = False,
    keep_unused: bool = False,
    inline: bool = False,
) -> Any:
    """Compile `fun` for each signature (tree structure, shapes, dtypes) it is called with.

    Args:
        fun: a pure function of pytrees of arrays.
        static_argnums: arguments that are Python values and part of the signature, by place.
        static_argnames: the same by name. A parameter given in either way may be passed in both.
        donate_argnums: arguments whose memory results of the same shape and dtype may take, by
            place. An `Array` whose memory was taken is deleted: later uses raise. It is not taken
            if anything else could see it (NumPy arrays, views, an array given twice), and not in
            calls that are traced.
        donate_argnames: the same by name.
        strict_donation: whether a call raises if it cannot take the memory of a donated argument.
        keep_unused: accepted for compatibility: no argument has a cost of its own.
        inline: accepted for compatibility: a jitted function in another is one equation.

    Returns:
        A function of the same arguments; it also has `lower`, `trace`, `eval_shape`, `explain`,
        `source`, `cache_info` and `clear_cache`.

    Raises:
        UnhashableStaticError: a static argument cannot be hashed.
        ArgumentError: a static argument is no parameter of `fun`.
        LeafTypeError: a dynamic argument is no array.
        DeletedArrayError: an argument was donated to an earlier call.
        DonationError: a donated argument's memory cannot be used, and `strict_donation` is on.
        OutOfMemoryError: there is not enough memory for results and temporaries.

    Example:
        >>> ff.jit(lambda x: x + 1)(2)
        Array(3, dtype=int32, weak_type=True)
    """
    if fun is None:
        return lambda f: jit(
            f,
            static_argnums=static_argnums,
            static_argnames=static_argnames,
            donate_argnums=donate_argnums,
            donate_argnames=donate_argnames,
            strict_donation=strict_donation,
        )
    check_function("jit", fun)
    return JitFunction(
        fun,
        listed(static_argnums),
        listed(static_argnames),
        listed(donate_argnums),
        listed(donate_argnames),
        strict_donation,
    )


@contextmanager
def disable_jit(disable: bool = True) -> Generator[None]:
    """Evaluate jitted functions as they stand in the block, so that `print` and `pdb` see values.

    Example:
        >>> with ff.disable_jit():
        ...     ff.jit(lambda x: x if x > 0 else -x)(-2.0)
        2.0
    """
    with config(disable_jit=disable):
        yield


@contextmanager
def ensure_compile_time_eval() -> Generator[None]:
    """Evaluate operations on known values at once in the block, also while tracing.

    Example:
        >>> @ff.jit
        ... def f(x):
        ...     with ff.ensure_compile_time_eval():
        ...         n = int(fnp.sum(fnp.arange(4)))  # inside jit, but no traced value
        ...     return x * n
        >>> f(2.0)
        Array(12., dtype=float32, weak_type=True)
    """
    with set_trace(EVAL):
        yield
