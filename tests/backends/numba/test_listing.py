"""Kernels of a program as text."""

import re

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.numba.source_run import compile_source


def normalised(x):
    shifted = x - fnp.max(x, -1, keepdims=True)
    return shifted / fnp.sum(shifted, -1, keepdims=True), fnp.sum(x, 0)


def test_sources_list_the_steps_and_the_users_lines():
    text = ff.jit(normalised).source(np.ones((3, 4), "f4"))
    program = ff.jit(normalised).lower(np.ones((3, 4), "f4")).as_text("program")
    assert text.startswith("\n".join(f"# {line}" for line in program.splitlines()))
    assert re.search(r"# test_listing.py:\d+: shifted = x - fnp.max\(x", text)
    assert text.count("import numpy as np\n") == 1
    names = {line.split("(")[0] for line in text.splitlines() if line.startswith("def kernel")}
    assert names == {f"def {w.split('[')[0]}" for w in program.split() if w.startswith("kernel")}


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_sources_run(compiled):
    """The first kernel of the listing computes what the program does."""
    x = np.linspace(1, 2, 12, dtype="f4").reshape(3, 4)
    text = ff.jit(lambda x: fnp.exp(x) + x).source(x)
    name = next(line for line in text.splitlines() if line.startswith("def kernel"))
    kernel = compile_source(text, name.removeprefix("def ").split("(")[0], compiled=compiled)
    out = np.empty(12, "f4")
    kernel(x.reshape(-1), out, 12)
    np.testing.assert_allclose(out.reshape(3, 4), np.exp(x) + x, rtol=1e-6)


def test_stages():
    lowered = ff.jit(lambda x: lax.cumsum(fnp.sin(x), 0) @ x).lower(np.ones((64, 64), "f4"))
    assert "group of 4096" in lowered.as_text("fusion") or "group of 64" in lowered.as_text(
        "fusion"
    )
    assert lowered.as_text("program") == lowered.compile().as_text()
    assert "v0: float32 = load p0" in lowered.as_text("kernels")
    llvm = lowered.as_text("llvm")
    assert "define void @kernel_" in llvm and "sgemm" in llvm
    assert lowered.as_text("inline") == lowered.as_text("dce")
    assert lowered.as_text("cse again").startswith("{ lambda")


@pytest.mark.parametrize(
    "f",
    [
        lambda x: lax.bitcast_convert_type(fnp.where(x > 0, x, -1.0), "uint32").astype("f4"),
        lambda x: lax.select_n(fnp.floor(x * 2).astype("int32") % 2 + 1, x, -x, x + x),
        lax.erf_inv,  # Python has no name for it, so it is taken apart
    ],
)
def test_operations_of_jaxprs(f):
    x = np.linspace(-0.9, 0.9, 12, dtype="f4")
    text = ff.jit(f).source(x)
    name = next(line for line in text.splitlines() if line.startswith("def kernel"))
    kernel = compile_source(text, name.removeprefix("def ").split("(")[0], compiled=False)
    out = np.empty(12, "f4")
    with np.errstate(all="ignore"):
        kernel(x, out, 12)
    np.testing.assert_allclose(out, f(x), rtol=1e-6)
