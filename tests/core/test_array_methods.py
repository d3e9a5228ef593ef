"""What is declared of arrays is what is installed on them."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import funcflow as ff
from funcflow.core import errors
from funcflow.core.array_methods import ArrayMethods
from funcflow.core.trace import Tracer
from funcflow.numpy.array_methods import METHODS

DECLARED = {
    name: value
    for name, value in vars(ArrayMethods).items()
    if callable(value) or isinstance(value, property)
}
NAMED = sorted(name for name in METHODS if not name.startswith("__"))


def test_names():
    assert DECLARED.keys() == METHODS.keys()


@pytest.mark.parametrize("name", NAMED)
def test_signatures(name: str):
    declared, installed = DECLARED[name], METHODS[name]
    assert isinstance(declared, property) == isinstance(installed, property)
    if not isinstance(declared, property):
        assert parameters(declared) == parameters(installed)


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    """All parameters but the array itself, which functions call by a name of their own."""
    found = list(inspect.signature(function).parameters.values())[1:]
    return [(p.name, p.kind, p.default) for p in found]


def tracers(cls: type) -> Iterator[type]:
    yield cls
    for derived in cls.__subclasses__():
        yield from tracers(derived)


def test_no_attribute_of_a_tracer_hides_a_method():
    slots = {name for cls in tracers(Tracer) for name in vars(cls)["__slots__"]}
    assert not slots & METHODS.keys()


def test_every_error_is_public():
    classes = {
        name for name, value in vars(errors).items() if inspect.isclass(value) and "Error" in name
    }
    assert classes <= vars(ff.errors).keys()
