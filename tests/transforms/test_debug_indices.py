"""What the error says of an index out of bounds: function, line, iterations, branch, lane, axis."""

import threading

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.errors import ArgumentError, NaNError, OutOfBoundsError

X = fnp.arange(5.0)
MATRIX = fnp.arange(6.0).reshape(2, 3)


def complaint(function, *args):
    """The first line of the message, and the line of code."""
    with ff.debug_indices(), pytest.raises(OutOfBoundsError) as caught:
        function(*args)
    message = str(caught.value)
    assert caught.value.source.file == __file__
    assert "\n  mend: " in message
    return message.splitlines()[0], caught.value.source.text()


def said(function, *args):
    return complaint(function, *args)[0]


def passes(function, *args):
    """The function does what it does outside of the scope."""
    expected = function(*args)
    with ff.debug_indices():
        got = function(*args)
    for x, y in zip(ff.tree.leaves(got), ff.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(x, y)


def outside(index, where="", axis=0, extent=5, what="x[...]: index"):
    return f"{what} {index} is out of bounds for axis {axis} of extent {extent}{where}"


ways = pytest.mark.parametrize("way", [lambda f: f, ff.jit], ids=["eager", "jit"])


# --- what takes indices -------------------------------------------------------------------------


def rows(x, i):
    y = x[i]
    return 2 * y


@pytest.mark.parametrize("i", [5, -6, np.int64(5), np.uint8(5)])
def test_a_traced_index(i):
    assert complaint(ff.jit(rows), X, i) == (outside(i), "y = x[i]")


@pytest.mark.parametrize("i", [4, -5, np.int8(-1), np.uint8(0)])
def test_indices_in_bounds(i):
    passes(ff.jit(rows), X, i)


def test_arrays_of_indices_say_which():
    assert said(ff.jit(rows), X, fnp.array([[0, 1], [-7, 9]])) == outside("-7 at index (1, 0)")
    passes(ff.jit(rows), X, fnp.zeros((0,), int))


def test_axes_are_those_of_the_array():
    f = ff.jit(lambda i, j: MATRIX[i, j])
    assert said(f, 1, 3) == outside(3, axis=1, extent=3)
    assert said(f, 2, 3) == outside(2, extent=2)
    assert said(ff.jit(lambda j: MATRIX[..., None, j]), 4) == outside(4, axis=1, extent=3)


@pytest.mark.parametrize(
    "name", ["set", "add", "subtract", "multiply", "divide", "power", "min", "max"]
)
def test_updates(name):
    f = ff.jit(lambda i: getattr(X.at[i], name)(1.0))
    assert said(f, 5) == outside(5)
    passes(f, 4)


def test_apply_and_get():
    assert said(ff.jit(lambda i: X.at[i].apply(fnp.sin)), 5) == outside(5)
    assert said(ff.jit(lambda i: X.at[i].get()), 5) == outside(5)


def test_functions_along_an_axis():
    indices = fnp.array([[0, 1, 5]])
    assert said(ff.jit(lambda i: fnp.take(X, i)), 7) == outside(7)
    assert said(ff.jit(lambda i: fnp.take_along_axis(MATRIX, i, 1)), indices) == outside(
        "5 at index (0, 2)", axis=1, extent=3, what="take_along_axis: index"
    )
    put = ff.jit(lambda i: fnp.put_along_axis(MATRIX, i, 0.0, 1, inplace=False))
    assert said(put, indices).startswith("x[...]: index 5 at index ")


def test_slices_must_fit():
    f = ff.jit(lambda i: lax.dynamic_slice(MATRIX, (0, i), (2, 2)))
    slices = {"axis": 1, "extent": 3, "what": "dynamic_slice: a slice of extent 2 from index"}
    for i in (2, -1, -4):
        assert said(f, i) == outside(i, **slices)
    for i in (0, 1, -2, -3):
        passes(f, i)


def test_slices_at_known_places():
    f = lambda: lax.dynamic_slice(X, (4,), (2,))  # noqa: E731
    found = outside(4, what="dynamic_slice: a slice of extent 2 from index")
    assert said(f) == said(ff.jit(f)) == found


def test_negative_starts_that_do_not_count_from_the_end():
    f = ff.jit(lambda i: lax.dynamic_slice(X, (i,), (1,), allow_negative_indices=False))
    assert said(f, -1) == outside(-1, what="dynamic_slice: index")
    passes(f, 4)


@ways
def test_other_dynamic_functions(way):
    update = "dynamic_update_slice: index"
    f = way(lambda i: lax.dynamic_index_in_dim(MATRIX, i, 1))
    assert said(f, fnp.array(3)) == outside(3, axis=1, extent=3, what="dynamic_slice: index")
    f = way(lambda i: lax.dynamic_update_index_in_dim(X, 1.0, i, 0))
    assert said(f, fnp.array(-6)) == outside(-6, what=update)
    f = way(lambda i: lax.dynamic_update_slice(X, fnp.ones(1), (i,)))
    assert said(f, fnp.array(5, "uint8")) == outside(5, what=update)


def test_a_mode_that_was_chosen_is_kept():
    for i in (-9, 9):
        for mode in ("clip", "fill", "wrap"):
            passes(ff.jit(lambda i, m=mode: fnp.take(X, i, mode=m)), i)
        for mode in ("clip", "fill", "promise_in_bounds"):
            passes(ff.jit(lambda i, m=mode: X.at[i].get(mode=m)), i)
        for mode in ("clip", "drop"):
            passes(ff.jit(lambda i, m=mode: X.at[i].set(1.0, mode=m)), i)
        passes(ff.jit(lambda i: X.at[i].get(fill_value=0.0)), i)


def test_what_nobody_uses_is_checked():
    def f(x, i):
        x[i]
        return x

    assert said(ff.jit(f), X, 5) == outside(5)


def test_an_index_that_the_program_computes_from_constants():
    assert said(ff.jit(lambda x: x[fnp.int32(3) + 4]), X) == outside(7)
    f = ff.jit(lambda x: x[fnp.arange(6)])
    assert said(f, X) == said(f, X) == outside("5 at index (5,)")


# --- lanes, loops and branches ------------------------------------------------------------------


@ways
def test_lanes(way):
    f = way(ff.vmap(lambda i: X[i]))
    assert said(f, fnp.array([1, 5])) == outside(5, " in lane 1")
    f = way(ff.vmap(ff.vmap(rows, (None, 0), axis_name="i"), (0, 0)))
    stack, indices = fnp.zeros((2, 4)), fnp.array([[0, 1, 2], [3, 3, 4]])
    found = outside(4, " in lane 1, lane 2 of axis 'i'", extent=4)
    assert said(f, stack, indices) == found


def every_second(x, count):
    return lax.scan(lambda i, _: (i + 2, x[i]), 0, None, length=count)[1]


@ways
def test_iterations_of_scan(way):
    f = way(lambda x: every_second(x, 4))
    first, line = complaint(f, X)
    assert first == outside(6, " in iteration 3 of scan")
    assert line == "return lax.scan(lambda i, _: (i + 2, x[i]), 0, None, length=count)[1]"
    passes(way(lambda x: every_second(x, 3)), X)


def test_the_first_of_many_iterations():
    def f(x):
        return lax.scan(lambda c, i: (c + x[i // 200], None), 0.0, fnp.arange(1100))[0]

    assert said(ff.jit(f), X) == outside(5, " in iteration 1000 of scan")


def total(x, n):
    step = lambda s: (s[0] + 1, s[1] + x[s[0]] ** 2)  # noqa: E731
    return lax.while_loop(lambda s: s[0] < n, step, (0, 0.0), checkpoint="log")[1]


@ways
def test_iterations_of_while(way):
    assert said(way(total), X, 7) == outside(5, " in iteration 5 of while")
    passes(way(total), X, 5)


def test_the_condition_of_a_while():
    def f(x):
        return lax.while_loop(lambda i: x[i] < 9, lambda i: i + 1, 3)

    # the loop ends, since a traced index is moved inside and the last element is large
    x = fnp.arange(5.0)
    bad = ff.jit(lambda x: lax.while_loop(lambda i: (x[i] < 9) & (i < 7), lambda i: i + 1, 3))
    assert said(bad, x) == outside(5, " in iteration 2 of while")
    passes(ff.jit(f), x.at[4].set(9.0))


@ways
def test_lanes_that_have_left_their_loop_are_not_checked(way):
    f = way(ff.vmap(total, (None, 0)))
    passes(f, X, fnp.array([3, 5, 2]))
    assert said(f, X, fnp.array([3, 6, 2])) == outside(5, " in iteration 5 of while, lane 1")


def safe(x, i):
    return lax.cond(i < 5, lambda i: x[i], lambda i: 0 * x[0], i)


@ways
def test_only_the_branch_that_is_taken(way):
    passes(way(safe), X, 7)
    assert said(way(safe), X, -6) == outside(-6, " in branch 1 of cond")
    passes(way(ff.vmap(safe, (None, 0))), X, fnp.array([3, 7, 2]))
    bad = said(way(ff.vmap(safe, (None, 0))), X, fnp.array([7, 2, -6]))
    assert bad == outside(-6, " in branch 1 of cond, lane 2")


def test_branches_in_loops_of_lanes():
    def f(x, n):
        step = lambda s: (s[0] + 1, s[1] + safe(x, fnp.maximum(s[0] - 2, 0)))  # noqa: E731
        return lax.while_loop(lambda s: s[0] < n, step, (0, 0.0))[1]

    every = ff.jit(ff.vmap(f, (None, 0)))
    passes(every, X, fnp.array([3, 9, 0]))
    nested = ff.jit(ff.vmap(ff.vmap(f, (None, 0)), (0, 0)))
    passes(nested, fnp.ones((2, 5)), fnp.array([[3, 9, 0], [1, 1, 20]]))
    short = fnp.ones((2, 1))
    found = outside(1, " in iteration 3 of while, branch 1 of cond, lane 1, lane 2", extent=1)
    assert said(nested, short, fnp.array([[3, 2, 0], [1, 1, 4]])) == found


def test_loops_of_lanes_that_print_are_not_checked(capsys):
    def f(x, n):
        def step(state):
            i, found = state
            ff.debug.print("{}", i)
            return i + 1, found + x[i]

        return lax.while_loop(lambda s: s[0] < n, step, (0, 0.0))[1]

    passes(ff.jit(ff.vmap(f, (None, 0))), X, fnp.array([5, 2]))
    assert capsys.readouterr().out


def test_shards():
    assert said(ff.pmap(lambda i: X[i]), fnp.array([1, 7])).startswith(outside(7, " in lane 1"))


# --- derivatives --------------------------------------------------------------------------------


@ways
@pytest.mark.parametrize("derivative", [ff.grad, ff.jacfwd, ff.hessian, ff.value_and_grad])
def test_derivatives(way, derivative):
    assert said(derivative(way(lambda x, i: x[i] ** 2)), X, 9) == outside(9)
    assert said(way(derivative(lambda x, i: x[i] ** 2)), X, 9) == outside(9)
    passes(way(derivative(lambda x, i: x[i] ** 2)), X, 4)


def test_derivatives_of_loops():
    scanned = lambda x: fnp.prod(every_second(x, 4) + 1)  # noqa: E731
    assert said(ff.jit(ff.grad(scanned)), X) == outside(6, " in iteration 3 of scan")
    gradient = ff.jit(ff.grad(total))
    assert said(gradient, X, 6) == outside(5, " in iteration 5 of while")
    passes(gradient, X, 5)
    lanes = ff.jit(ff.vmap(ff.grad(total), (None, 0)))
    passes(lanes, X, fnp.array([5, 2]))
    assert said(lanes, X, fnp.array([2, 8])) == outside(5, " in iteration 5 of while, lane 1")
    shared = ff.jit(ff.grad(lambda x, n: fnp.sum(ff.vmap(total, (None, 0))(x, n))))
    passes(shared, X, fnp.array([5, 2]))
    assert said(shared, X, fnp.array([2, 8])) == outside(5, " in iteration 5 of while, lane 1")


def test_checkpoint():
    f = ff.checkpoint(rows)
    assert said(f, X, 9) == outside(9)
    assert said(ff.jit(ff.grad(f)), X, 9) == outside(9)


# --- the scope ----------------------------------------------------------------------------------


def test_the_scope_ends():
    compiled = ff.jit(rows)
    assert compiled(X, 9) == 8
    with ff.debug_indices():
        with pytest.raises(OutOfBoundsError):
            compiled(X, 9)
        with ff.debug_indices(False):
            assert compiled(X, 9) == 8
        with pytest.raises(OutOfBoundsError):
            compiled(X, 9)
    assert compiled(X, 9) == 8
    assert compiled.cache_info().reasons == ("first call", "debug_indices is on")


def test_without_the_scope_nothing_is_traced_for_it():
    with ff.debug_indices():
        inside = str(ff.make_jaxpr(rows)(X, 1))
    assert "check_index" in inside
    assert "check_index" not in str(ff.make_jaxpr(rows)(X, 1))


def test_the_scope_is_that_of_its_thread():
    found = []
    compiled = ff.jit(rows)
    with ff.debug_indices():
        thread = threading.Thread(target=lambda: found.append(float(compiled(X, 9))))
        thread.start()
        thread.join()
    assert found == [8]


def test_it_goes_with_debug_nans():
    for first, second in [(ff.debug_nans, ff.debug_indices), (ff.debug_indices, ff.debug_nans)]:
        with first(), second():
            with pytest.raises(OutOfBoundsError):
                ff.jit(rows)(X, 9)
            with pytest.raises(NaNError):
                ff.jit(fnp.log)(-1.0)
            with ff.debug_indices(False), pytest.raises(NaNError):
                ff.jit(lambda x, i: fnp.log(-1 - x[i]))(X, 9)


def test_the_scope_is_not_for_functions_that_are_transformed():
    def f(x):
        with ff.debug_indices():
            return x[0]

    with pytest.raises(ArgumentError, match="debug_indices: the block lies in a function"):
        ff.jit(f)(X)


def test_prints_are_not_repeated(capsys):
    def f(x, i):
        ff.debug.print("once")
        return x[i]

    assert said(ff.jit(f), X, 9) == outside(9)
    assert capsys.readouterr().out == "once\n"


def test_the_reference_backend():
    with ff.config(backend="reference"):
        assert said(ff.jit(lambda x: every_second(x, 4)), X) == outside(
            6, " in iteration 3 of scan"
        )
        passes(ff.jit(ff.vmap(total, (None, 0))), X, fnp.array([3, 5, 2]))
