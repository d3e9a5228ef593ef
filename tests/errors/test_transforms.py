"""Derivatives that do not exist, rules and callbacks that break their promises, NaNs, settings."""

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors

X = fnp.ones(3)


# --- derivatives ------------------------------------------------------------------------------


def test_arguments_without_derivative(refuses):
    kind = errors.NotDifferentiableError
    call = lambda: ff.grad(lambda p: p["n"] * 2)({"n": 3})  # noqa: E731
    refuses(kind, call, "grad of <lambda>: the argument args[0]['n'] is i32[]", "floating-point")
    refuses(kind, lambda: ff.jacfwd(lambda z: z)(1j), "args[0]", "c64[]", "holomorphic=True")
    refuses(kind, lambda: ff.grad(lambda x: x, holomorphic=True)(1.0), "f32[]", "complex arguments")
    refuses(kind, lambda: ff.jacfwd(lambda x: x)(3), "jacfwd of <lambda>", "args[0]", "i32[]")
    refuses(kind, lambda: ff.jacrev(lambda x: x)(3), "jacrev of <lambda>", "args[0]", "i32[]")


def test_results_without_derivative(refuses):
    call = lambda: ff.grad(lambda x: x)(X)  # noqa: E731
    refuses(errors.ShapeError, call, "grad of <lambda>:", "a scalar", "f32[3]", ".sum()")
    call = lambda: ff.grad(lambda x: (x, x))(1.0)  # noqa: E731
    refuses(errors.ShapeError, call, "grad of <lambda>:", "one scalar", "(*, *)", "has_aux")
    refuses(errors.NotDifferentiableError, lambda: ff.grad(lambda z: z)(1j), "c64[]", "holomorphic")
    call = lambda: ff.grad(lambda x: fnp.int32(3))(1.0)  # noqa: E731
    refuses(errors.NotDifferentiableError, call, "grad of <lambda>:", "real", "i32[]")


def test_arguments_that_are_not_there(refuses):
    call = lambda: ff.grad(lambda x: x, argnums=2)(1.0)  # noqa: E731
    refuses(errors.ArgumentError, call, "grad: argnums=2", "1 positional")


def test_transposes_of_what_is_not_linear(refuses):
    call = lambda: ff.linear_transpose(fnp.sin, 1.0)(1.0)  # noqa: E731
    refuses(errors.NotDifferentiableError, call, "sin", "not linear", "linear functions")


# --- rules ------------------------------------------------------------------------------------


def test_functions_without_rule(refuses):
    @ff.custom_jvp
    def f(x):
        return x

    @ff.custom_vjp
    def g(x):
        return x

    refuses(errors.ArgumentError, lambda: ff.grad(f)(1.0), "custom_jvp: f", "defjvp")
    refuses(errors.ArgumentError, lambda: ff.grad(g)(1.0), "custom_vjp: g", "defvjp")


def test_rules_that_return_something_else(refuses):
    @ff.custom_jvp
    def f(x):
        return x

    f.defjvp(lambda primals, tangents: (f(*primals), fnp.ones(4)))
    call = lambda: ff.grad(lambda x: fnp.sum(f(x)))(X)  # noqa: E731
    refuses(errors.ShapeError, call, "the jvp rule of f", "f32[3]", "f32[4]")

    @ff.custom_vjp
    def g(x):
        return x

    g.defvjp(lambda x: (x, None), lambda residuals, ct: (ct, ct))
    call = lambda: ff.grad(g)(1.0)  # noqa: E731
    refuses(errors.TreeStructureError, call, "bwd rule of g", "1 arguments", "2 entries")


def test_forward_mode_of_a_reverse_rule(refuses):
    @ff.custom_vjp
    def g(x):
        return x

    g.defvjp(lambda x: (x, None), lambda residuals, ct: (ct,))
    call = lambda: ff.jvp(g, (1.0,), (1.0,))  # noqa: E731
    refuses(errors.NotDifferentiableError, call, "only a reverse rule", "custom_jvp")


# --- callbacks --------------------------------------------------------------------------------


def test_callbacks_that_break_their_promise(refuses):
    promised = ff.ShapeDtypeStruct((3,), "float32")

    def short(x):
        return x[:2]

    def failing(x):
        return 1 / 0

    kind = errors.CallbackError
    call = lambda: ff.pure_callback(short, promised, X)  # noqa: E731
    refuses(kind, call, "the callback short", "float32[2]", "f32[3]")
    call = lambda: ff.pure_callback(failing, promised, X)  # noqa: E731
    refuses(kind, call, "the callback failing", "ZeroDivisionError")


def test_the_derivative_of_a_callback(refuses):
    scalar = ff.ShapeDtypeStruct((), "float32")
    call = lambda: ff.grad(lambda x: ff.pure_callback(np.sin, scalar, x))(1.0)  # noqa: E731
    refuses(errors.NotDifferentiableError, call, "pure_callback(sin)", "custom_jvp")


# --- NaNs -------------------------------------------------------------------------------------


def test_nans(refuses):
    x = fnp.array([1.0, -1.0])
    words = ("log gives NaN", "f32[2] at index (1,)", "operands: -1.0")
    with ff.debug_nans():
        message = refuses(errors.NaNError, lambda: fnp.log(x), *words)
        assert "fnp.log(x)" in message
        refuses(errors.NaNError, lambda: ff.jit(lambda x: fnp.log(x) + 1)(x), *words)
    assert fnp.isnan(fnp.log(x))[1]


def test_indices(refuses):
    x = fnp.arange(3)
    words = ("x[...]: index 5 at index (1,) is out of bounds for axis 0 of extent 3", "mode='clip'")
    with ff.debug_indices():
        message = refuses(
            errors.OutOfBoundsError, lambda: ff.jit(lambda i: x[i])(fnp.array([0, 5])), *words
        )
        assert "ff.jit(lambda i: x[i])" in message
    assert int(ff.jit(lambda i: x[i])(5)) == 2


# --- settings ---------------------------------------------------------------------------------


def test_settings(refuses):
    def unknown():
        with ff.config(precision="high"):
            pass

    def wrong():
        with ff.config(default_float="int32"):
            pass

    def backend():
        with ff.config(backend="abacus"):
            ff.jit(lambda x: x + 1)(1.0)

    kind = errors.ArgumentError
    refuses(kind, unknown, "config:", "'precision'", "default_float")
    refuses(kind, wrong, "config: default_float", "floating", "'int32'")
    refuses(kind, backend, "no backend named 'abacus'", "reference")
