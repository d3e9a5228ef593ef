"""Errors of the compiler itself."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors
from funcflow.backends.numba import kernels
from funcflow.backends.numba.runtime import compile_module


def test_what_llvm_says_is_kept():
    with pytest.raises(errors.CompileError, match="expected type") as info:
        compile_module("define nothing")
    assert isinstance(info.value.__cause__, RuntimeError)
    assert "report this message" in str(info.value)


def test_a_kernel_that_cannot_be_compiled_names_the_function(monkeypatch):
    """The next call compiles again."""

    def refuse(text):
        raise errors.CompileError("llvm: out of registers", mend="report this message")

    def unusual(x):
        return fnp.arctan(x) * fnp.sinh(x) - fnp.log1p(x) ** 3

    f = ff.jit(unusual)
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "compile_module", refuse)
        with pytest.raises(errors.CompileError, match="out of registers") as info:
            f(np.ones((2, 3), "f2"))
    assert info.value.__notes__ == ["while compiling unusual for jit"]
    assert f(np.ones((2, 3), "f2")).shape == (2, 3)


def test_out_of_memory_names_the_function_and_the_bytes():
    def grow(x):
        return fnp.broadcast_to(x, (2**30, 2**20)) + 1

    f = ff.jit(grow)
    for _ in range(2):
        with pytest.raises(errors.OutOfMemoryError) as info:
            f(1.0)
        assert "jit of grow: there is not enough memory" in str(info.value)
        assert "outputs 4.5e+03 TB" in str(info.value)
        assert "mend: compute in smaller parts" in str(info.value)
    assert isinstance(info.value, MemoryError)


def test_donation(refuses):
    x = fnp.ones(3)
    f = ff.jit(lambda x: x + 1, donate_argnums=0)
    f(x)
    refuses(errors.DeletedArrayError, lambda: x + 1, "f32[3]", "jit of <lambda>", "args[0]")
    g = ff.jit(lambda x: x[0], donate_argnums=0, strict_donation=True)
    y = fnp.ones(3)
    refuses(errors.DonationError, lambda: g(y), "jit of <lambda>", "args[0]", "shape and dtype")
