"""Every primitive obeys the laws of the transforms, and none is forgotten."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import funcflow as ff
from funcflow.core.jaxpr import Jaxpr, subjaxprs
from funcflow.core.primitive import Primitive
from funcflow.core.rules import parameters
from funcflow.testing import check_laws

_table = runpy.run_path(str(Path(__file__).with_name("cases.py")))
CASES, EXEMPT = _table["CASES"], _table["EXEMPT"]
EACH = [
    pytest.param(name, case, id=f"{name}-{i}")
    for name, cases in CASES.items()
    for i, case in enumerate(cases)
]


@pytest.fixture(autouse=True)
def enough_devices() -> Iterator[None]:
    with ff.config(num_cpu_devices=8):
        yield


@pytest.mark.parametrize("name, case", EACH)
def test_laws(name: str, case: Any) -> None:
    check_laws(case.function, case.args, **case.options)


@pytest.mark.parametrize("name", CASES)
def test_the_cases_bind_their_primitive(name: str) -> None:
    jaxprs = (ff.make_jaxpr(case.function)(*case.args).jaxpr for case in CASES[name])
    assert any(name in _names(jaxpr) for jaxpr in jaxprs)


def test_rules_name_the_parameters_that_texts_leave_out() -> None:
    """So the parser knows which parameters are None."""
    for cases in CASES.values():
        for case in cases:
            for eqn in ff.make_jaxpr(case.function)(*case.args).eqns:
                left_out = {name for name, value in eqn.params.items() if value is None}
                named = set(parameters(eqn.primitive))
                assert left_out <= named <= set(eqn.params), eqn.primitive.name


def _names(jaxpr: Jaxpr) -> set[str]:
    found = {eqn.primitive.name for eqn in jaxpr.eqns}
    return found.union(*(_names(inner) for eqn in jaxpr.eqns for inner in subjaxprs(eqn)))


def test_every_primitive_has_a_case(primitives: list[Primitive]) -> None:
    assert {primitive.name for primitive in primitives} == set(CASES) | set(EXEMPT)
    assert not set(CASES) & set(EXEMPT)
