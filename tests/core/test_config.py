"""Settings: scoped by block and thread, checked when set."""

import copy
import threading

import numpy as np
import pytest

from funcflow.core.config import config, enable_x64
from funcflow.core.errors import ArgumentError


@pytest.fixture
def restored():
    before = {name: getattr(config, name) for name in ("default_float", "default_int")}
    yield
    for name, value in before.items():
        config.update(name, value)


def test_a_scope_ends_with_its_block():
    with config(default_float="float64", disable_jit=True):
        assert config.default_float == np.float64
        with config(default_float="float16"):
            assert config.default_float == np.float16
            assert config.disable_jit
        assert config.default_float == np.float64
    assert config.default_float == np.float32
    assert not config.disable_jit


def test_a_scope_ends_with_an_error():
    with pytest.raises(KeyError), config(default_int="int64"):
        raise KeyError
    assert config.default_int == np.int32


def test_a_scope_stays_in_its_thread():
    found = []
    with config(default_float="float64"):
        thread = threading.Thread(target=lambda: found.append(config.default_float))
        thread.start()
        thread.join()
    assert found == [np.float32]


@pytest.mark.usefixtures("restored")
def test_update_reaches_other_threads_and_yields_to_scopes():
    config.update("default_float", "float64")
    found = []
    thread = threading.Thread(target=lambda: found.append(config.default_float))
    thread.start()
    thread.join()
    assert found == [np.float64]
    with config(default_float="float16"):
        assert config.default_float == np.float16


@pytest.mark.usefixtures("restored")
def test_the_names_of_jax():
    config.update("jax_enable_x64", True)
    assert (config.default_float, config.default_int) == (np.float64, np.int64)
    config.update("jax_enable_x64", False)
    assert (config.default_float, config.default_int) == (np.float32, np.int32)
    config.update("jax_disable_jit", False)
    assert config.disable_jit is False


def test_64_bits_for_a_block():
    assert not config.jax_enable_x64
    with enable_x64():
        assert (config.default_float, config.default_int) == (np.float64, np.int64)
        assert config.jax_enable_x64
        with enable_x64(False):
            assert (config.default_float, config.default_int) == (np.float32, np.int32)
        with config(default_int="int32"):
            assert not config.jax_enable_x64
    assert not config.jax_enable_x64


@enable_x64()
def test_64_bits_for_a_function():
    assert config.jax_enable_x64


def test_the_key_tells_settings_apart():
    before = config.key()
    assert hash(before) == hash(config.key())
    with config(default_float="float64"):
        assert config.key() != before
    assert config.key() == before


def test_unknown_settings():
    with pytest.raises(ArgumentError, match="no setting named 'colour'"), config(colour=1):
        pass
    with pytest.raises(ArgumentError, match="no setting named 'colour'"):
        config.update("colour", 1)
    with pytest.raises(AttributeError, match="no setting named 'colour'"):
        _ = config.colour


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("default_float", "int32"),
        ("default_float", "text"),
        ("default_float", "complex64"),
        ("default_float", ">f4"),
        ("default_float", "longdouble"),
        ("default_int", "float32"),
        ("default_int", "uint32"),
        ("default_int", bool),
    ],
)
def test_default_dtypes_are_checked(name, value):
    with pytest.raises(ArgumentError, match=f"{name} must be a"), config(**{name: value}):
        pass


def test_it_can_be_copied():
    assert copy.copy(config).default_float == config.default_float


def test_settings_of_jax_that_describe_what_is_so():
    before = config.key()
    config.update("jax_platform_name", "cpu")
    config.update("jax_default_matmul_precision", "highest")
    config.update("jax_debug_nans", False)
    assert config.key() == before
    with pytest.raises(ArgumentError, match=r"jax_debug_nans is False here.*(\n.*)*debug_nans\(\)"):
        config.update("jax_debug_nans", True)
    with pytest.raises(ArgumentError, match="jax_platforms is 'cpu' here"):
        config.update("jax_platforms", "tpu")


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2"])
def test_a_cap_of_no_threads(count):
    with pytest.raises(ArgumentError, match="num_threads must be a positive whole number"):
        config.update("num_threads", count)


def test_the_cap_is_the_least_of_all_scopes():
    seen = []
    config.observe_thread_cap(seen.append)
    try:
        with config(num_threads=4), config(num_threads=6), config(num_threads=2):
            assert config.thread_cap() == 2
            assert config.num_threads == 2
        assert seen == [None, 4, 4, 2, 4, 4, None]
    finally:
        config._observers.remove(seen.append)
    assert config.thread_cap() is None
