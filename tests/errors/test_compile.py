"""Errors of the compiler itself."""

import pytest

from funcflow import errors
from funcflow.backends.numba.runtime import compile_module


def test_what_llvm_says_is_kept():
    with pytest.raises(errors.CompileError, match="expected type") as info:
        compile_module("define nothing")
    assert isinstance(info.value.__cause__, RuntimeError)
    assert "report this message" in str(info.value)
