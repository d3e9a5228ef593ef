"""Equal groups share one kernel, and what tells groups apart is in the key."""

from itertools import product

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends import emit, step_memo
from funcflow.backends.kernel_memo import Memo, Written
from funcflow.backends.lower import lower_program
from funcflow.backends.pipeline import prepare

X = np.ones((5, 37), "f4")


@pytest.fixture(autouse=True)
def no_steps_are_remembered(monkeypatch):
    monkeypatch.setattr(step_memo, "_MEMO", Memo(0))


def steps_of(f, *args):
    return lower_program(prepare(ff.make_jaxpr(f)(*args))["dce"], {}).steps


def kernel_of(f, *args):
    (step,) = steps_of(f, *args)
    return step.work


def softmax(x):
    e = fnp.exp(x - fnp.max(x, -1, keepdims=True))
    return e / fnp.sum(e, -1, keepdims=True)


# Many differ from another in one thing alone.
FUNCTIONS = {
    "add": lambda x: x + x.T[:1, :1],
    "scaled": lambda x: x * 3 + 5,
    "scaled, equal numbers": lambda x: x * 3 + 3,
    "scaled, a number of the kernel": lambda x: x * 3 + 1,
    "operands exchanged": lambda x: 5 - x * 3,
    "power": lambda x: lax.integer_pow(x, 3),
    "another power": lambda x: lax.integer_pow(x, 4),
    "softmax": softmax,
    "columns": lambda x: fnp.max(x, 0),
    "rows": lambda x: fnp.max(x, 1),
    "sum": lambda x: fnp.sum(x, 1),
    "argmax": lambda x: fnp.argmax(x, 1),
    "argmin of columns": lambda x: fnp.argmin(x, 0),
    "iota": lambda x: x + lax.iota(x.dtype, x.shape[-1]),
    "iota of columns": lambda x: x + lax.iota(x.dtype, x.shape[0])[:, None],
    "two results": lambda x: (x * 3, x * 3 + 5),
    "two results, exchanged": lambda x: (x * 3 + 5, x * 3),
    "mask": lambda x: fnp.where(fnp.tri(*x.shape, dtype=bool), x, 7),
    "cast": lambda x: (x * 3).astype("i4"),
    "another cast": lambda x: (x * 3).astype("f8"),
    "converted twice": lambda x: x.astype("f8").astype("f4") * 3,
    "converted twice, by way of fewer bits": lambda x: x.astype("f2").astype("f4") * 3,
    "by way of integers": lambda x: x.astype("i2").astype("f4") * 3,
    "two of three": lambda x: (x * 3, (x * 3 + 5) * 7),
    "another two of three": lambda x: (x * 3 + 5, (x * 3 + 5) * 7),
    "variance": lambda x: fnp.var(x, -1),
}
ARGUMENTS = {
    "f4": X,
    "f8": X.astype("f8"),
    "i4": X.astype("i4"),
    "one row": X[:1],
    "one column": X[:, :1],
    "another shape": np.ones((6, 1000), "f4"),
    "many elements": np.ones((3, 1 << 15), "f4"),
    "many rows": np.ones((1 << 15, 3), "f4"),
}


def test_kernels_from_the_memo_are_those_that_would_be_written(monkeypatch):
    def texts(memo_for_each):
        found = {}
        for name, (what, x) in product(FUNCTIONS, ARGUMENTS.items()):
            if memo_for_each:
                monkeypatch.setattr(emit, "MEMO", Memo(0))
            steps = steps_of(FUNCTIONS[name], x)
            found[name, what] = [(str(step.work), step.params) for step in steps]
        return found

    written = texts(memo_for_each=True)
    monkeypatch.setattr(emit, "MEMO", Memo(4096))
    assert texts(memo_for_each=False) == written  # as it fills
    assert texts(memo_for_each=False) == written  # once it knows all


def test_equal_layers_and_other_shapes_share_a_kernel():
    def layers(x, y):
        return softmax(x * 3), softmax(y * 3)

    first, second = (step.work for step in steps_of(layers, X, X[:, 1:].copy()))
    assert first is second
    assert kernel_of(softmax, X) is kernel_of(softmax, np.ones((50, 38), "f4"))


def test_other_numbers_are_other_parameters_of_the_same_kernel():
    steps = [steps_of(lambda x, n=n, m=m: x * n + m, X)[0] for n, m in [(3, 5), (5, 3), (7, 7)]]
    assert steps[0].work is steps[1].work
    assert steps[0].params[-2:] == steps[1].params[:-3:-1]
    assert steps[2].work is not steps[0].work  # one number that is used twice


def test_the_values_of_a_shared_kernel_come_from_the_step_s_own_equations():
    def layers(x, y):
        return fnp.tanh(x * 3), fnp.tanh(y * 3)

    steps = steps_of(layers, X, np.ones((7, 9), "f4"))
    assert steps[0].work is steps[1].work
    for step in steps:
        assert set(step.origins.values()) == set(step.eqns)


@pytest.mark.parametrize("most", [1, 3])
def test_a_memo_forgets_what_was_used_longest_ago(most):
    memo = Memo(most)
    kernel = kernel_of(FUNCTIONS["scaled"], X)
    written = {key: Written(kernel, (key,), ()) for key in range(most + 1)}
    for key in range(most):
        assert memo.put(key, written[key]) is written[key]
    memo.get(0)
    memo.put(most, written[most])
    known = [key for key in written if memo.get(key) is not None]
    assert known == ([1] if most == 1 else [0, 2, 3])


def test_of_two_that_write_a_kernel_both_use_the_first():
    memo = Memo(2)
    kernel = kernel_of(FUNCTIONS["scaled"], X)
    first, second = Written(kernel, (), ()), Written(kernel, (), ())
    assert memo.put("key", first) is first
    assert memo.put("key", second) is first
