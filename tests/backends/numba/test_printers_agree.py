"""The two printers of the loop IR compute the same bits on random kernels."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcflow.backends.numba.llvm import module_text
from funcflow.backends.numba.runtime import compile_module, load_object


def native(case) -> list[bytes]:
    library = load_object(compile_module(module_text({"kernel": case.kernel})))
    return case.by_address(library.address("kernel"))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_native_code_agrees_with_the_source(kernels, seed):
    case = kernels.random_case(seed)
    assert native(case) == case.by_source(), f"random_case({seed})"


@pytest.mark.parametrize("seed", [17, 29])
def test_the_source_means_the_same_to_numba(kernels, seed):
    case = kernels.random_case(seed)
    assert case.by_source(compiled=True) == case.by_source()


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_native_code_agrees_with_the_source_on_many(kernels, seed):
    case = kernels.random_case(seed)
    assert native(case) == case.by_source(), f"random_case({seed})"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 80, 2))
def test_the_source_means_the_same_to_numba_on_many(kernels, seed):
    case = kernels.random_case(seed)
    assert case.by_source(compiled=True) == case.by_source()
