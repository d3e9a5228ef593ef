"""The error tree.

Every message says which function was called, what was expected, what arrived, where in the
user's program, and how to mend it. Each class derives from the Python exception that NumPy or
JAX would raise in its place, so that existing `except` clauses keep working. `docs/errors.md`
is generated from the docstrings here.
"""

from typing import Any

from funcflow.core.source import user_source


class FuncflowError(Exception):
    """Base of all errors raised by funcflow.

    The message is followed by the user's own line and by the mend, where there is one. Where an
    error leaves a transform or a loop, funcflow's own frames are taken out of its traceback, unless
    `ff.config(show_internal_frames=True)` holds.
    """

    def __init__(self, message: str, *, mend: str = "") -> None:
        self.source = user_source()
        self.mend = mend
        parts = [message]
        if self.source is not None:
            parts.append(f"  at {self.source}: {self.source.text()}".removesuffix(": "))
        if mend:
            parts.append(f"  mend: {mend}")
        super().__init__("\n".join(parts))


class ShapeError(FuncflowError, ValueError, TypeError):
    """Shapes of the arguments do not fit together.

        ff.lax.add(fnp.ones(3), fnp.ones(4))

    Mend: reshape or broadcast the arguments so that their shapes agree.
    """


class DtypeError(FuncflowError, TypeError):
    """An argument has a dtype that the function does not take.

        ff.lax.sin(fnp.arange(3))

    Mend: convert the argument, e.g. with `x.astype(fnp.float32)`.
    """


class AxisError(FuncflowError, ValueError, IndexError):
    """An axis is out of range or named twice.

        fnp.sum(fnp.ones((2, 3)), axis=2)

    Mend: use axes from -ndim to ndim - 1, each once.
    """


class ArgumentError(FuncflowError, ValueError, TypeError):
    """An argument has a value that the function cannot work with.

        fnp.split(fnp.ones(3), 2)

    Mend: as the message says.
    """


class LeafTypeError(FuncflowError, TypeError):
    """A leaf of a pytree is neither an array nor a number.

        ff.jit(lambda x: x)("text")

    Mend: pass arrays, or mark the argument as static (`static_argnums`).
    """


class TreeStructureError(FuncflowError, ValueError, TypeError):
    """Two pytrees that must have the same structure differ.

        ff.jvp(lambda p: p["a"], ({"a": 1.0},), ({"b": 1.0},))

    Mend: the message names the key path at which the two differ.
    """


class CarryTypeError(TreeStructureError):
    """A loop's body returns a carry of another type than it received.

        ff.lax.scan(lambda c, x: (c + 1.5, x), fnp.int32(0), fnp.ones(3))

    Mend: start from a carry of the type that the body returns, or convert inside the body.
    """


class OutOfBoundsError(FuncflowError, IndexError):
    """An index lies outside the array: one whose value is known, or any if `debug_indices` is on.

        fnp.ones(3)[5]

    Mend: index within the bounds; use `.at[i].get(mode="clip")` to clip on purpose.
    """


class ImmutableError(FuncflowError, TypeError):
    """Arrays cannot be changed in place.

        x = fnp.ones(3)
        x[0] = 1.0

    Mend: `x = x.at[0].set(1.0)`.
    """


class ConcretizationTypeError(FuncflowError, TypeError):
    """A value is needed while the program is being traced.

        ff.jit(lambda n: fnp.zeros(n))(3)

    Mend: mark the argument as static (`static_argnums`), or express the computation with array
    operations.
    """


class TracerBoolConversionError(ConcretizationTypeError):
    """`if`, `while`, `and` or `bool()` on a traced value.

        ff.jit(lambda x: x if x > 0 else -x)(1.0)

    Mend: `fnp.where`, `ff.lax.cond` or `ff.lax.while_loop`.
    """


class TracerIntegerConversionError(ConcretizationTypeError):
    """A traced value is used where Python needs an integer.

        ff.jit(lambda i: [1, 2, 3][i])(0)

    Mend: index an array instead of a list, or mark the argument as static.
    """


class TracerArrayConversionError(ConcretizationTypeError):
    """A traced value is converted to a NumPy array, or a NumPy array is indexed by it.

        ff.jit(lambda x: np.asarray(x))(1.0)
        pictures = np.zeros((10, 8, 8))
        ff.jit(lambda i: pictures[i])(3)

    Mend: use the function of the same name in `funcflow.numpy`, or `ff.pure_callback`; index an
    array of funcflow: `fnp.asarray(pictures)[i]`.
    """


class NonConcreteBooleanIndexError(FuncflowError, IndexError):
    """A boolean mask that is traced gives a result of unknown shape.

        ff.jit(lambda x: x[x > 0])(fnp.ones(3))

    Mend: `fnp.where(mask, x, 0)` or `fnp.nonzero(mask, size=n)`.
    """


class UnexpectedTracerError(FuncflowError):
    """A traced value has outlived the function that it was traced in.

        kept = []
        ff.jit(lambda x: kept.append(x))(1.0)
        kept[0] + 1

    Mend: return the value from the function instead of storing it outside.
    """


class UnhashableStaticError(FuncflowError, ValueError, TypeError):
    """A static argument cannot be hashed, so compiled code cannot be cached for it.

        ff.jit(lambda sizes: fnp.zeros(sizes), static_argnums=0)([1, 2])

    Mend: pass a tuple, or another hashable value.
    """


class UnboundAxisError(FuncflowError, NameError):
    """A collective names an axis that no surrounding vmap or pmap has.

        ff.lax.psum(fnp.ones(3), "batch")

    Mend: `ff.vmap(f, axis_name="batch")`.
    """


class NotDifferentiableError(FuncflowError, TypeError):
    """A derivative is asked for where there is none.

        ff.grad(lambda n: n * 2)(3)

    Mend: pass floating-point arguments, or give the function a rule (`ff.custom_jvp`).
    """


class CallbackError(FuncflowError, RuntimeError):
    """A host callback raised, or returned something else than it promised.

        ff.pure_callback(lambda x: x[:2], ff.ShapeDtypeStruct((3,), "float32"), fnp.ones(3))

    Mend: return arrays of the promised shape and dtype.
    """


class NaNError(FuncflowError, FloatingPointError):
    """A result holds a NaN and `debug_nans` is on.

        with ff.debug_nans():
            fnp.log(fnp.array(-1.0))

    Mend: the message names the operation that made it and its operands, with the line, the
    iterations of loops, the lane of `vmap` and the index.
    """

    # The operand that was NaN already, by number, and the index in it, if one was.
    operand: tuple[int, tuple[int, ...]] | None = None


class DivergenceError(FuncflowError, FloatingPointError):
    """The loss of a training became NaN or infinite; `result` is what there was before.

        ff.train.fit(
            ff.nn.Linear(1, 1, key=ff.random.key(0)),
            (fnp.ones((4, 1)), fnp.full((4, 1), fnp.nan)),
            loss=ff.losses.squared_error,
            optimizer=ff.optim.sgd(0.1),
            epochs=1,
            batch_size=4,
            progress=False,
        )

    Mend: the message names the layer, parameter or input where it first appears. Lower the
    learning rate, clip gradients, look for logarithms and quotients at zero; `ff.debug_nans()`
    finds the line.
    """

    result: Any = None


class DataFormatError(FuncflowError, ValueError):
    """A file or source of data is not what it claims to be, is cut off, or is empty.

        ff.data.read_idx(ff.__file__)

    Mend: the message names the file and the place in it, what was expected and what was found.
    """


class JaxprTypeError(FuncflowError, TypeError):
    """A jaxpr breaks the rules of its type system.

        from funcflow.core.parse import parse_jaxpr
        from funcflow.core.typecheck import check_jaxpr

        check_jaxpr(parse_jaxpr("{ lambda ; a:f32[3]. let b:f32[4] = sin a in (b,) }"))

    Mend: for a jaxpr that was traced, correct the rule of the primitive that the message names.
    """


class JaxprParseError(FuncflowError, SyntaxError):
    """Text that is no jaxpr, or is of another version of the format.

        from funcflow.core.parse import parse_jaxpr

        parse_jaxpr("{ lambda ; a:f32[3]. let b:f32[3] = sine a in (b,) }")

    Mend: the message points at the first word that does not fit; `ff.jaxpr_to_text` writes the
    format.
    """


class MissingRuleError(FuncflowError, NotImplementedError):
    """A primitive has no rule for the transform that reached it.

        from funcflow.core.primitive import Primitive

        Primitive("new").bind(1.0)

    Mend: declare the rule beside the primitive (see docs/architecture.md).
    """


class DeletedArrayError(FuncflowError, RuntimeError):
    """An array is used after it was donated to a jitted function, which has used its memory.

        x = fnp.ones(3)
        ff.jit(lambda x: x + 1, donate_argnums=0)(x)
        x + 1

    Mend: go on with what the function returned.
    """


class DonationError(FuncflowError, ValueError):
    """The memory of a donated argument cannot be used, and `strict_donation` is on.

        ff.jit(lambda x: x[0], donate_argnums=0, strict_donation=True)(fnp.ones(3))

    Mend: donate what has the shape and dtype of a result, and is not needed after that is begun.
    """


class OutOfMemoryError(FuncflowError, MemoryError):
    """There is not enough memory for the results and temporaries of a jitted function.

        ff.jit(lambda x: fnp.broadcast_to(x, (2**30, 2**30)) + 1)(1.0)

    Mend: compute in smaller parts, recompute instead of keeping (`ff.checkpoint`), or donate
    arguments.
    """


class CheckpointError(FuncflowError, ValueError):
    """A tree cannot be saved, a checkpoint is missing or damaged, or does not fit the tree.

        ff.train.restore("nowhere", {"w": fnp.zeros(3)})

    Mend: as the message says; trees are restored into one that was made as the saved one was.
    """


class CompileError(FuncflowError, RuntimeError):
    """A kernel cannot be compiled or loaded: a fault of funcflow, not of the user's program.

        from funcflow.backends.numba.runtime import compile_module

        compile_module("define nothing")

    Mend: run the function without `jit`, and report the message.
    """
