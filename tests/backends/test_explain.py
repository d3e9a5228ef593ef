"""Explanations: what they say of steps, and how they look."""

import re

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.explain import flops
from funcflow.core.backend import in_bytes


def softmax(x):
    top = fnp.max(x, -1, keepdims=True)
    e = fnp.exp(x - top)
    return e / fnp.sum(e, -1, keepdims=True)


def explained(f, *args, **options):
    return ff.jit(f, **options).explain(*args)


def test_one_kernel():
    explanation = explained(softmax, np.ones((1000, 16), "f4"))
    (step,) = explanation.steps
    assert (step.number, step.kind, step.result) == (1, "kernel", "f32[1000,16]")
    assert step.computes == ("max", "sub", "exp", "sum", "div")
    assert step.nbytes == 2 * 4 * 16_000
    assert step.flops == 5 * 16_000
    assert step.seconds >= 0 and explanation.seconds > 0
    assert step.source.function == "softmax"
    assert re.search(r"t_explain.py:\d+", str(explanation))
    assert explanation.memory.peak == step.nbytes


def test_without_values_nothing_is_measured():
    explanation = explained(softmax, ff.ShapeDtypeStruct((4, 5), "float32"))
    assert explanation.seconds is None and explanation.steps[0].seconds is None
    assert "time" not in str(explanation)


def test_arithmetic_of_products():
    def equations(f, *args):
        return ff.make_jaxpr(f)(*args).eqns

    (dot,) = equations(lambda x, y: lax.batch_matmul(x, y), np.ones((2, 3, 4)), np.ones((2, 4, 5)))
    assert flops(dot) == 2 * 2 * 3 * 4 * 5
    x, k = np.ones((2, 3, 8, 8)), np.ones((5, 3, 3, 3))
    (conv,) = equations(lambda x, k: lax.conv(x, k, (1, 1), "SAME"), x, k)
    assert flops(conv) == 2 * (2 * 5 * 8 * 8) * (3 * 3 * 3)


def test_nothing_falls_back_in_silence():
    """Each step that Python runs, each library and each copy is told with its reason."""

    def f(x):
        y = ff.pure_callback(np.sin, x, x) @ x
        return y[:2], y, x

    explanation = explained(f, np.ones((64, 64), "f4"))
    text = str(explanation)
    for step in explanation.steps:
        if step.kind != "kernel" or step.is_copy:
            assert step.note and f"{step.number}  {step.note}" in text
    assert re.search(r"Python runs:\n +\d  pure_callback", text)
    assert "gemm 64x64x64" in text
    assert "copy: a result that is part of an argument" in text


def test_why_kernels_are_apart():
    explanation = explained(lambda x: fnp.sum(x, 0) + fnp.sum(x, 1), np.ones((6, 6)))
    (line,) = explanation.apart
    assert line.endswith("the reduced axes differ")
    assert f"Stored between kernels:\n  {line}" in str(explanation)


def test_effects_happen_once():
    seen = []

    def f(x):
        ff.debug.callback(lambda x: seen.append(float(x)), x)
        return x * 2

    explanation = explained(f, 1.0)
    assert seen == [1.0]
    assert explanation.seconds > 0


def test_donations_are_told():
    x = fnp.ones(3)
    text = str(explained(lambda x, y: x + y[0], x, x, donate_argnums=(0, 1)))
    assert "donated args[0]  becomes result 0, if nobody else sees its memory" in text
    assert re.search(r"donated args\[1\]  in vain: ", text)


def test_facts():
    text = str(explained(lambda x: x + 1, fnp.ones(3)))
    for fact in ("memory ", "threads ", "native code ", "disk cache "):
        assert f"\n{fact}" in text


def test_the_reference_backend_explains_itself():
    with ff.config(backend="reference"):
        explanation = explained(softmax, np.ones((4, 5)))
    assert {step.kind for step in explanation.steps} == {"host"}
    assert "the reference backend runs NumPy" in str(explanation)


def network(x, weights, table):
    for w in weights:
        x = fnp.maximum(x @ w, 0)
    top = softmax(x)
    return fnp.sort(top, 0), fnp.cumsum(top, 1), fnp.sum(table[fnp.argmax(top, 1)])


def test_tables_are_at_most_100_columns_wide():
    weights = [np.ones((64, 64), "f4")] * 12
    table = np.ones((64, 3))
    struct = ff.ShapeDtypeStruct((64, 64), "float32")
    for x in (np.ones((64, 64), "f4"), struct):
        text = str(explained(network, x, weights, table))
        heading, *rows = text.split("\n\n")[0].splitlines()
        assert heading.startswith("jit of network: ")
        assert max(map(len, rows)) <= 100


def test_programs_as_text():
    program = ff.jit(lambda x: (fnp.sin(x) @ x.T, x)).lower(np.ones((3, 4))).compile()
    text = program.as_text()
    lines = text.splitlines()
    assert lines[0] == "a0: f64[3,4] = argument"
    assert re.fullmatch(r"t0: f64\[3,4\] = kernel_[0-9a-f]{6}\[sin\] a0", lines[1])
    assert lines[-1].startswith("return out")


@pytest.mark.parametrize(
    ("count", "text"), [(12, "12 B"), (1234, "1.23 kB"), (5e6, "5 MB"), (3e15, "3e+03 TB")]
)
def test_bytes(count, text):
    assert in_bytes(count) == text


def test_bodies_of_native_loops_are_explained():
    def f(x):
        return lax.fori_loop(0, 5, lambda i, c: fnp.sin(fnp.sort(c)) * 2, x)

    explanation = explained(f, np.ones(3))
    (body,) = explanation.inner
    assert ("sin", "mul") in [step.computes for step in body.steps]
    assert f"\n\n{body.title}: {len(body.steps)} step" in str(explanation)
    assert re.fullmatch(r"inside step \d \(\w+\) of jit of f", body.title)


def test_lanes_under_a_mask_are_told_with_the_reason():
    weights = np.ones((30, 30), "f4")

    def loop(n, x):
        return lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] @ weights), (0, x))[1]

    def branch(p, x):
        return lax.cond(p, lambda x: x * 2, lambda x: -x, x)

    counts, xs = np.arange(5, dtype="i4"), np.ones((5, 30), "f4")
    text = str(explained(ff.vmap(loop), counts, xs))
    reason = r"Under a mask:\n +test_explain.py:\d+  while: all lanes together, since"
    assert re.search(reason, text)
    gradient = ff.vmap(ff.grad(lambda n, x: fnp.sum(loop(n, x) ** 2), 1))
    assert "reverse_while: all lanes together, since" in str(explained(gradient, counts, xs))
    text = str(explained(ff.vmap(branch), counts > 2, xs))
    assert "cond: all lanes together, since its branches are quick" in text
    straight = ff.vmap(lambda n, x: lax.while_loop(lambda s: s < n, lambda s: 2 * s, x))
    assert "mask" not in str(explained(straight, xs[:, 0] * 9, xs[:, 0]))
