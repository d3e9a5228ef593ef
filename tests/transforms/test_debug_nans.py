"""What the error says of a NaN: operation, operands, line, iterations, branch, lane and index."""

import re
import threading

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.errors import ArgumentError, NaNError


def origin(function, *args):
    """The first line of the message, the line of code, and the operands."""
    with ff.debug_nans(), pytest.raises(NaNError) as caught:
        function(*args)
    message = str(caught.value)
    assert caught.value.source.file == __file__
    operands = re.search(r"\n  operands: (.*)", message)
    assert "\n  mend: " in message
    return message.splitlines()[0], caught.value.source.text(), operands and operands[1]


def array(*values, dtype="float32"):
    return fnp.array(values, dtype=dtype)


ways = pytest.mark.parametrize("way", [lambda f: f, ff.jit], ids=["eager", "jit"])


# --- operations -------------------------------------------------------------------------------


def root(x):
    y = fnp.sqrt(x)
    return 2 * y


@ways
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_operation_that_makes_it(way, dtype):
    x = array(1, -1, dtype=dtype)
    first, line, operands = origin(way(root), x)
    assert re.fullmatch(r"sqrt gives NaN \(b?f\d+\[2\] at index \(1,\)\)", first)
    assert line == "y = fnp.sqrt(x)"
    assert float(operands) == -1


@ways
def test_complex_numbers(way):
    def f(x):
        return fnp.log(x) * x

    first, line, operands = origin(way(f), array(1j, 0j, dtype="complex64"))
    assert first == "mul gives NaN (c64[2] at index (1,))"
    assert line == "return fnp.log(x) * x"
    assert operands == "(-inf+0j), 0j"


@ways
def test_operands_that_are_no_elements_are_summed_up(way):
    first, _, operands = origin(way(fnp.dot), array(1, np.inf), array(1, 0))
    assert first == "dot_general gives NaN (f32[])"
    assert operands == "f32[2] from 1.0 to inf, f32[2] from 0.0 to 1.0"


@ways
def test_a_constant_in_the_code(way):
    def f(x):
        return x * fnp.nan

    first, line, operands = origin(way(f), array(1, 2))
    assert (first, line, operands) == (
        "mul gives NaN (f32[2] at index (0,))" if way is ff.jit else first,
        "return x * fnp.nan",
        "1.0, nan" if way is ff.jit else operands,
    )


def test_operands_that_are_nan_already():
    x = array(1, np.nan)
    first, line, operands = origin(lambda: x * 2)
    assert first == "mul: operand 0 (f32[2]) is NaN at index (1,), and so is a result"
    assert "x * 2" in line
    assert operands is None


def test_arguments_of_jitted_functions_are_named():
    def f(params, x):
        scaled = params["w"] * x
        return scaled + 1

    first, line, _ = origin(ff.jit(f), {"w": array(1, np.nan)}, array(1, 2))
    assert first.startswith("jit of f: args[0]['w'] is NaN at index (1,), and so is a result")
    assert line == 'scaled = params["w"] * x'


def test_captured_arrays():
    captured = array(1, np.nan)

    def f(x):
        x = x + 1
        return x + captured

    first, line, _ = origin(ff.jit(f), 1.0)
    assert first.startswith("jit of f: a captured array is NaN at index (1,)")
    assert line == "return x + captured"


def test_what_reaches_no_result_is_no_error():
    def f(x):
        unused = fnp.log(-x)
        return fnp.where(x > 0, fnp.log(x), 0), unused[:1] * 0 if x.shape == () else x

    x = array(1, -1)
    with ff.debug_nans():
        np.testing.assert_array_equal(ff.jit(f)(x)[0], [0, 0])


def test_the_cause_is_not_what_a_where_hides():
    def f(x):
        hidden = fnp.where(x > 0, fnp.log(x), 0)
        shown = fnp.sqrt(x - 3)
        return hidden + shown

    first, line, operands = origin(ff.jit(f), array(-1.0, 5.0, 2.0))
    assert first == "sqrt gives NaN (f32[3] at index (0,))"
    assert (line, operands) == ("shown = fnp.sqrt(x - 3)", "-4.0")


def test_nans_that_are_asked_for_are_no_errors():
    with ff.debug_nans():
        assert float(fnp.nansum(array(1, np.nan))) == 1
        assert float(ff.jit(fnp.nansum)(array(1, np.nan))) == 1


# --- the scope --------------------------------------------------------------------------------


def test_the_scope_ends():
    compiled = ff.jit(root)
    assert np.isnan(compiled(-1.0))
    with ff.debug_nans():
        with pytest.raises(NaNError):
            compiled(-1.0)
        with ff.debug_nans(False):
            assert np.isnan(compiled(-1.0))
        with pytest.raises(NaNError):
            compiled(-1.0)
    assert np.isnan(compiled(-1.0))


def test_the_scope_is_that_of_its_thread():
    found = []
    with ff.debug_nans():
        thread = threading.Thread(target=lambda: found.append(fnp.sqrt(fnp.array(-1.0))))
        thread.start()
        thread.join()
    assert np.isnan(found[0])


def test_the_scope_is_not_for_traced_code():
    def f(x):
        with ff.debug_nans():
            return fnp.sqrt(x)

    for transform in (ff.jit, ff.grad):
        with pytest.raises(ArgumentError, match="around the call"):
            transform(f)(1.0)


def test_jitted_functions_are_compiled_once():
    f = ff.jit(lambda x: x + 1)
    f(1.0)
    with ff.debug_nans(), ff.testing.assert_compiles(max=0):
        assert f(1.0) == 2


def test_donated_arguments_are_kept():
    f = ff.jit(lambda x: x + 1, donate_argnums=0)
    x = fnp.ones(3)
    with ff.debug_nans():
        f(x)
    assert x.sum() == 3


def test_prints_are_not_repeated(capsys):
    @ff.jit
    def f(x):
        ff.debug.print("x is {}", x)
        return fnp.log(x)

    origin(f, -1.0)
    assert capsys.readouterr().out == "x is -1.0\n"


# --- derivatives ------------------------------------------------------------------------------


@ways
def test_a_nan_of_the_backward_pass_only(way):
    def loss(x):
        y = fnp.sqrt(x) * x
        return fnp.sum(y)

    first, line, operands = origin(way(ff.grad(loss)), array(1, 0))
    assert first == "div gives NaN (f32[2] at index (1,)) in the derivative of this line"
    assert (line, operands) == ("y = fnp.sqrt(x) * x", "0.0, 0.0")


@ways
def test_an_infinite_value_gives_a_nan_in_the_derivative(way):
    def softplus(x):
        return fnp.log1p(fnp.exp(x))

    first, line, operands = origin(way(ff.grad(softplus)), 100.0)
    assert first == "mul gives NaN (f32[]) in the derivative of this line"
    assert (line, operands) == ("return fnp.log1p(fnp.exp(x))", "0.0, inf")


@ways
def test_a_nan_of_the_forward_pass_is_none_of_the_derivative(way):
    first, line, _ = origin(way(ff.value_and_grad(lambda x: fnp.sum(root(x)))), array(-1))
    assert first == "sqrt gives NaN (f32[1] at index (0,))"
    assert line == "y = fnp.sqrt(x)"


@ways
def test_factors_of_the_derivative(way):
    def power(x, p):
        return x**p

    first, line, operands = origin(way(ff.grad(power, 1)), -1.0, 2.0)
    assert first == "log gives NaN (f32[]) in the derivative of this line"
    assert (line, operands) == ("return x**p", "-1.0")


@ways
def test_checkpoint(way):
    def loss(x):
        return fnp.sum(ff.checkpoint(lambda x: fnp.sqrt(x) * x)(x))

    first, *_ = origin(way(ff.grad(loss)), array(1, 0))
    assert first == "div gives NaN (f32[2] at index (1,)) in the derivative of this line"


@ff.custom_jvp
def same(x):
    return x


@same.defjvp
def same_jvp(primals, tangents):
    return primals[0], fnp.log(primals[0] - 5) * tangents[0]


@ff.custom_vjp
def kept(x):
    return x


def kept_bwd(x, ct):
    return (fnp.log(x - 5) * ct,)


kept.defvjp(lambda x: (x, x), kept_bwd)


class Kept(ff.custom_rule):
    def call(self, x):
        return x

    def linearize(self, x):
        return x, x

    def tangent(self, x, t):
        scale = fnp.log(x - 5)
        return scale * t


RULES = {
    "return primals[0], fnp.log(primals[0] - 5) * tangents[0]": same,
    "return (fnp.log(x - 5) * ct,)": kept,
    "scale = fnp.log(x - 5)": Kept(),
}


@pytest.mark.parametrize("line", RULES)
@pytest.mark.parametrize(
    "way",
    [
        ff.grad,
        lambda f: ff.jit(ff.grad(f)),
        lambda f: ff.grad(ff.jit(f)),
        lambda f: lambda x: ff.jit(ff.vmap(ff.grad(f)))(x[None]),
    ],
)
def test_a_rule_of_the_user_is_named_by_its_own_line(line, way):
    first, found, operands = origin(way(RULES[line]), fnp.float32(1))
    assert first.startswith("log gives NaN (f32[])")
    assert (found, operands) == (line, "-4.0")


# --- loops and branches -----------------------------------------------------------------------

XS = np.ones(100, np.float32)


def count_down(start, xs):
    def step(c, x):
        c = c - x
        return c, fnp.sqrt(c)

    return fnp.sum(lax.scan(step, start, xs)[1])


@ways
def test_scan(way):
    first, line, operands = origin(way(count_down), 50.5, XS)
    assert first == "sqrt gives NaN (f32[]) in iteration 50 of scan"
    assert (line, operands) == ("return c, fnp.sqrt(c)", "-0.5")


@ways
def test_the_gradient_of_scan_counts_as_the_forward_pass_does(way):
    def loss(xs):
        def step(c, x):
            return c * 0.5 + fnp.sqrt(x) * 0, None

        return lax.scan(step, 1.0, xs)[0]

    xs = XS.copy()
    xs[7] = 0
    first, line, operands = origin(way(ff.grad(loss)), xs)
    assert first == "div gives NaN (f32[]) in iteration 7 of scan, the derivative of this line"
    assert (line, operands) == ("return c * 0.5 + fnp.sqrt(x) * 0, None", "0.0, 0.0")


@ways
def test_a_scan_in_a_scan(way):
    def inner(c, x):
        return c + fnp.log(x), None

    def outer(c, row):
        c, _ = lax.scan(inner, c, row)
        return c, c

    def f(xs):
        return fnp.sum(lax.scan(outer, 0.0, xs)[1])

    xs = np.ones((10, 8), np.float32)
    xs[3, 5] = -1
    first, line, _ = origin(way(f), xs)
    assert first == "log gives NaN (f32[]) in iteration 3 of scan, iteration 5 of scan"
    assert line == "return c + fnp.log(x), None"


def decline(x):
    def step(s):
        i, x = s
        return i + 1, fnp.sqrt(x) - 1

    return lax.while_loop(lambda s: s[0] < 30, step, (0, x))[1]


@ways
def test_while(way):
    first, line, _ = origin(way(decline), 10.0)
    assert first == "sqrt gives NaN (f32[]) in iteration 3 of while"
    assert line == "return i + 1, fnp.sqrt(x) - 1"


def vanish(x, checkpoint=None):
    def step(s):
        i, x = s
        return i + 1, fnp.where(i == 2, fnp.sqrt(x) * 0, x * 1)

    return lax.while_loop(lambda s: s[0] < 6, step, (0, x), checkpoint=checkpoint)[1]


@ways
@pytest.mark.parametrize("checkpoint", [None, "log", 3])
def test_the_gradient_of_while_counts_as_the_forward_pass_does(way, checkpoint):
    first, line, _ = origin(way(ff.grad(lambda x: vanish(x, checkpoint))), 0.0)
    assert first == "div gives NaN (f32[]) in iteration 2 of while, the derivative of this line"
    assert line == "return i + 1, fnp.where(i == 2, fnp.sqrt(x) * 0, x * 1)"


def branches(x):
    return lax.cond(x > 0, lambda x: fnp.sqrt(x - 1), lambda x: fnp.log(x), x)


@ways
def test_cond(way):
    first, _, operands = origin(way(branches), -2.0)
    assert (first, operands) == ("log gives NaN (f32[]) in branch 0 of cond", "-2.0")


# --- lanes ------------------------------------------------------------------------------------

mapped_ways = pytest.mark.parametrize(
    "way",
    [ff.vmap, lambda f: ff.jit(ff.vmap(f)), lambda f: ff.vmap(ff.jit(f))],
    ids=["vmap", "jit of vmap", "vmap of jit"],
)


@mapped_ways
def test_the_lane_and_the_index_in_it(way):
    x = np.ones((4, 3), np.float32)
    x[2, 1] = -1
    first, line, _ = origin(way(root), x)
    assert first == "sqrt gives NaN (f32[3] at index (1,)) in lane 2"
    assert line == "y = fnp.sqrt(x)"


@mapped_ways
def test_a_loop_in_lanes(way):
    starts = array(200, 150, 50.5, 120)
    first, _, operands = origin(way(lambda c: count_down(c, XS)), starts)
    assert first == "sqrt gives NaN (f32[]) in iteration 50 of scan, lane 2"
    assert operands == "-0.5"


@mapped_ways
def test_lanes_that_have_left_their_loop_are_not_to_blame(way):
    def f(n, x):
        def step(s):
            i, x = s
            return i + 1, fnp.sqrt(x - 1)

        return lax.while_loop(lambda s: s[0] < n, step, (0, x))[1]

    with ff.debug_nans():  # another step would give a NaN
        way(f)(fnp.array([1, 2]), array(1, 2))
    first, _, operands = origin(way(f), fnp.array([1, 3]), array(1, 2))
    assert (first, operands) == ("sqrt gives NaN (f32[]) in iteration 2 of while, lane 1", "-1.0")


@mapped_ways
def test_branches_that_a_lane_does_not_take_are_not_to_blame(way):
    with ff.debug_nans():
        way(lambda x: lax.cond(x > 0, fnp.log, fnp.negative, x))(array(1, -1, 2))
    first, _, operands = origin(way(branches), array(1, 2, -3, 0.5))
    assert (first, operands) == ("log gives NaN (f32[]) in branch 0 of cond, lane 2", "-3.0")


@pytest.mark.parametrize(
    "way",
    [
        lambda f: ff.vmap(ff.grad(f)),
        lambda f: ff.jit(ff.vmap(ff.grad(f))),
        lambda f: ff.jit(ff.grad(lambda x: fnp.sum(ff.vmap(f)(x)))),
        lambda f: ff.grad(lambda x: fnp.sum(ff.jit(ff.vmap(f))(x))),
    ],
)
def test_derivatives_in_lanes(way):
    first, line, _ = origin(way(vanish), array(1, 0, 2))
    assert first == (
        "div gives NaN (f32[]) in iteration 2 of while, lane 1, the derivative of this line"
    )
    assert line == "return i + 1, fnp.where(i == 2, fnp.sqrt(x) * 0, x * 1)"


@pytest.mark.parametrize("way", [lambda f: f, ff.jit], ids=["eager", "jit"])
def test_nested_lanes(way):
    def f(x, y):
        return fnp.log(x - y)

    rows = ff.vmap(ff.vmap(f, (0, None)), (None, 0), axis_name="batch")
    first, *_ = origin(way(rows), array(1, 4), array(0, 0, 3))
    assert first == "log gives NaN (f32[]) in lane 2 of axis 'batch', lane 0"


@pytest.mark.parametrize("way", [lambda f: f, ff.jit], ids=["eager", "jit"])
def test_lanes_that_lie_behind(way):
    w, x = np.ones((3, 3), np.float32), np.ones((3, 3), np.float32)
    x[2] = [np.inf, -np.inf, 1]
    first, *_ = origin(way(lambda x: ff.vmap(lambda x: w @ x)(x)), x)
    assert first == "dot_general gives NaN (f32[3] at index (0,)) in lane 2"


def test_shards_of_pmap_are_lanes():
    with ff.config(num_cpu_devices=2):
        share = ff.pmap(lambda x: x / lax.psum(x, "i"), axis_name="i")
        first, _, operands = origin(share, array(0, 0))
    assert (first, operands) == ("div gives NaN (f32[]) in lane 0 of axis 'i'", "0.0, 0.0")
