"""Values that are needed while tracing, tracers that leak, static arguments, named axes."""

import math

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax

X = fnp.ones(3)


# --- Python control flow ----------------------------------------------------------------------


def test_if(refuses):
    @ff.jit
    def f(p):
        y = p["w"] * 2
        return y if y > 0 else -y

    message = refuses(
        errors.TracerBoolConversionError,
        lambda: f({"w": 1.0}),
        "`if`", "bool[]", "from args[0]['w'] in f", "fnp.where", "lax.cond",
    )  # fmt: skip
    assert "return y if y > 0 else -y" in message


def test_the_other_words_that_ask_for_truth(refuses):
    kind = errors.TracerBoolConversionError
    refuses(kind, lambda: ff.jit(lambda x: x > 0 and x < 1)(1.0), "`and`", "args[0] in <lambda>")
    refuses(kind, lambda: ff.jit(lambda x: not x)(True), "bool()", "args[0] in <lambda>")
    refuses(kind, lambda: ff.vmap(lambda x: x if x > 0 else -x)(X), "`if`", "mapped by vmap", "3")
    refuses(kind, lambda: lax.scan(lambda c, x: (c if c else x, x), 0.0, X), "`if`", "f32[]")

    def loop(x):
        while x < 10:
            x = x + 1
        return x

    refuses(kind, lambda: ff.jit(loop)(1.0), "`while`", "from args[0] in loop", "lax.while_loop")
    assert ff.grad(loop)(1.0) == 1  # with known values it is allowed


# --- conversions ------------------------------------------------------------------------------


def test_python_numbers(refuses):
    kind = errors.ConcretizationTypeError
    refuses(kind, lambda: ff.jit(lambda x: float(x))(1.0), "float()", "f32[]", "args[0] in")
    refuses(kind, lambda: ff.jit(lambda x: int(x))(1), "int()", "i32[]", "args[0] in")
    refuses(kind, lambda: ff.jit(lambda x: complex(x))(1.0), "complex()", "f32[]")
    refuses(kind, lambda: ff.jit(lambda x: x.item())(1.0), ".item()", "f32[]")
    refuses(kind, lambda: ff.jit(lambda x: x.tolist())(X), ".tolist()", "f32[3]")
    refuses(kind, lambda: ff.jit(lambda x: math.sin(x))(1.0), "float()", "f32[]")


def test_python_integers(refuses):
    kind = errors.TracerIntegerConversionError
    words = ("i32[]", "args[0] in <lambda>", "static")
    refuses(kind, lambda: ff.jit(lambda i: [1, 2, 3][i])(0), *words)
    refuses(kind, lambda: ff.jit(lambda n: list(range(n)))(3), *words)


def test_numpy_arrays(refuses):
    kind = errors.TracerArrayConversionError
    words = ("NumPy array", "f32[3]", "args[0] in <lambda>", "funcflow.numpy", "pure_callback")
    refuses(kind, lambda: ff.jit(lambda x: np.asarray(x))(X), *words)


def test_numpy_arrays_that_are_indexed(refuses):
    kind, pictures = errors.TracerArrayConversionError, np.ones((4, 3))
    words = ("args[0] in <lambda>", "index fnp.asarray(a) instead of a NumPy array a")
    for index in (1, np.array([0, 1])):
        refuses(kind, lambda i=index: ff.jit(lambda i: pictures[i])(i), *words)
        refuses(kind, lambda i=index: ff.jit(lambda i: pictures[i, 0])(i), *words)
        found = ff.jit(lambda i: fnp.asarray(pictures)[i])(index)  # the mend
        np.testing.assert_array_equal(found, pictures[index])


def test_shapes_and_sizes(refuses):
    kind = errors.ConcretizationTypeError
    refuses(kind, lambda: ff.jit(lambda n: fnp.zeros(n))(3), "zeros: shape", "i32[]", "static")
    refuses(kind, lambda: ff.jit(lambda n: fnp.arange(n))(3), "arange:", "i32[]", "static")
    refuses(kind, lambda: ff.jit(lambda x, n: x.reshape(n))(X, 3), "reshape: shape", "i32[]")
    refuses(kind, lambda: ff.jit(lambda x, i: fnp.sum(x, i))(X, 0), "sum: axis", "i32[]", "static")
    refuses(kind, lambda: ff.jit(lambda x, i: x[:i])(X, 1), "slice", "dynamic_slice")
    refuses(kind, lambda: ff.jit(fnp.nonzero)(X), "nonzero:", "f32[3]", "size=n")


def test_masks(refuses):
    call = lambda: ff.jit(lambda x: x[x > 0])(X)  # noqa: E731
    refuses(errors.NonConcreteBooleanIndexError, call, "index:", "bool[3]", "fnp.where")


# --- leaks ------------------------------------------------------------------------------------


def test_a_value_kept_by_a_jitted_function(refuses):
    kept = []

    @ff.jit
    def f(p):
        kept.append(p["w"])
        kept.append(p["w"] * 2)

    f({"w": 1.0})
    words = ("outside the function it was traced in", "return the value")
    refuses(errors.UnexpectedTracerError, lambda: kept[0] + 1, "args[0]['w'] in f", *words)
    refuses(errors.UnexpectedTracerError, lambda: kept[1] + 1, "from args[0]['w'] in f", *words)


def test_a_value_kept_by_the_other_transforms(refuses):
    kept = []

    def f(x):
        kept.append(x)
        return x * x

    ff.grad(f)(1.0)
    ff.vmap(f)(X)
    ff.checkpoint(f)(1.0)
    lax.scan(lambda c, x: (f(c), x), 1.0, X)
    for x in kept:
        if isinstance(x, ff.Array) and repr(x).startswith("Traced"):
            refuses(errors.UnexpectedTracerError, lambda x=x: x + 1, "outside the function")
            refuses(errors.UnexpectedTracerError, lambda x=x: ff.jit(fnp.sin)(x), "outside")


# --- static arguments and functions -----------------------------------------------------------


def test_unhashable_static_arguments(refuses):
    kind = errors.UnhashableStaticError
    call = lambda: ff.jit(lambda n, x: x, static_argnums=0)([1, 2], 1.0)  # noqa: E731
    refuses(kind, call, "jit of <lambda>:", "static argument 0", "[1, 2] of type list", "tuple")
    call = lambda: ff.jit(lambda x, n: x, static_argnames="n")(1.0, n={})  # noqa: E731
    refuses(kind, call, "jit of <lambda>:", "static argument 'n'", "{} of type dict")


def test_static_arguments_that_are_not_there(refuses):
    call = lambda: ff.jit(lambda x: x, static_argnums=5)(1.0)  # noqa: E731
    refuses(errors.ArgumentError, call, "jit of <lambda>:", "static argument 5", "1 positional")
    call = lambda: ff.jit(lambda x: x, static_argnames="y")(1.0)  # noqa: E731
    refuses(errors.ArgumentError, call, "jit of <lambda>:", "static argument 'y'", "takes x")


def test_what_is_no_function(refuses):
    for name in ("jit", "grad", "value_and_grad", "vmap", "pmap", "jacfwd", "jacrev"):
        transform = getattr(ff, name)
        refuses(errors.ArgumentError, lambda t=transform: t(3), "fun", "3 of type int")
    call = lambda: ff.jvp(3, (1.0,), (1.0,))  # noqa: E731
    refuses(errors.ArgumentError, call, "jvp: the argument fun", "3 of type int")
    refuses(errors.ArgumentError, lambda: ff.vjp("f", 1.0), "vjp: the argument fun", "'f'")


# --- named axes -------------------------------------------------------------------------------


def test_unknown_axis_names(refuses):
    kind = errors.UnboundAxisError
    refuses(kind, lambda: lax.psum(X, "batch"), "psum:", "'batch'", "in scope: none", "axis_name")
    call = lambda: ff.vmap(lambda x: lax.pmean(x, "j"), axis_name="i")(X)  # noqa: E731
    refuses(kind, call, "pmean:", "'j'", "in scope: 'i'")
    refuses(kind, lambda: lax.axis_index("i"), "axis_index:", "'i'")


def test_more_lanes_than_devices(refuses):
    with ff.config(num_cpu_devices=2):
        call = lambda: ff.pmap(lambda x: x)(X)  # noqa: E731
        refuses(errors.ArgumentError, call, "pmap of <lambda>:", "size 3", "2 devices", "config")
