"""Tracebacks end in the user's line and show no frame of the package."""

import traceback

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax

X = fnp.ones(3)


def fail(x):
    if x > 0:  # the line to be shown
        return x
    return -x


def frames(call):
    """The functions and files in the traceback of what `call()` raises, this one left out."""
    try:
        call()
    except Exception as error:
        listed = traceback.extract_tb(error.__traceback__)[1:]
        return [frame.name for frame in listed], {frame.filename for frame in listed}
    raise AssertionError("nothing was raised")


CALLS = {
    "jit": lambda f: ff.jit(f)(1.0),
    "trace": lambda f: ff.jit(f).trace(1.0),
    "lower": lambda f: ff.jit(f).lower(1.0),
    "make_jaxpr": lambda f: ff.make_jaxpr(f)(1.0),
    "eval_shape": lambda f: ff.eval_shape(f, 1.0),
    "grad": lambda f: ff.grad(ff.jit(f))(1.0),
    "value_and_grad": lambda f: ff.value_and_grad(ff.checkpoint(f))(1.0),
    "vmap": lambda f: ff.vmap(f)(X),
    "pmap": lambda f: ff.pmap(f)(X[:1]),
    "jvp": lambda f: ff.jvp(ff.jit(f), (1.0,), (1.0,)),
    "vjp": lambda f: ff.vjp(ff.jit(f), 1.0),
    "linearize": lambda f: ff.linearize(ff.jit(f), 1.0),
    "linear_transpose": lambda f: ff.linear_transpose(f, 1.0),
    "jacfwd": lambda f: ff.jacfwd(ff.jit(f))(1.0),
    "jacrev": lambda f: ff.jacrev(ff.jit(f))(1.0),
    "hessian": lambda f: ff.hessian(ff.jit(f))(1.0),
    "checkpoint": lambda f: ff.checkpoint(f)(1.0),
    "scan": lambda f: lax.scan(lambda c, x: (f(x), x), 1.0, X),
    "map": lambda f: lax.map(f, X),
    "fori_loop": lambda f: lax.fori_loop(0, 3, lambda i, x: f(x), 1.0),
    "while_loop": lambda f: lax.while_loop(f, lambda x: x, 1.0),
    "cond": lambda f: lax.cond(True, f, f, 1.0),
    "switch": lambda f: lax.switch(fnp.int32(0), [f, f], 1.0),
    "nested": lambda f: ff.jit(ff.vmap(ff.grad(lambda x: lax.scan(f, x, X)[0])))(X),
}


@pytest.mark.parametrize("name", CALLS)
def test_only_the_user_s_frames_are_shown(name):
    body = (lambda c, x: (fail(c), x)) if name == "nested" else fail
    names, files = frames(lambda: CALLS[name](body))
    assert names[-1] == "fail"
    assert set(names) <= {"<lambda>", "fail"}
    assert files == {__file__}


def test_errors_in_the_arguments_end_in_the_call():
    names, files = frames(lambda: ff.grad(fail)(1))
    assert names == ["<lambda>"]
    assert files == {__file__}


def test_errors_of_the_user():
    def wrong(x):
        raise KeyError(x)

    names, files = frames(lambda: ff.vmap(ff.grad(wrong))(X))
    assert names == ["<lambda>", "wrong"]
    assert files == {__file__}


def test_errors_that_nobody_foresaw_keep_their_cause():
    def cause(x):
        return ff.tree.map(3, x)

    names, files = frames(lambda: ff.jit(ff.vmap(cause))(X))
    assert names[:3] == ["<lambda>", "cause", "tree_map"]
    assert len(files) > 1


def test_all_frames_on_request():
    with ff.config(show_internal_frames=True):
        names, files = frames(lambda: ff.jit(fail)(1.0))
    assert {"<lambda>", "fail", "__call__"} <= set(names)
    assert len(files) > 2


def test_the_pullback_of_a_wrong_cotangent():
    _, pull = ff.vjp(np.sin, 1.0)
    with pytest.raises(errors.TreeStructureError) as info:
        pull((1.0, 2.0))
    assert [entry.name for entry in traceback.extract_tb(info.value.__traceback__)] == [
        "test_the_pullback_of_a_wrong_cotangent"
    ]
