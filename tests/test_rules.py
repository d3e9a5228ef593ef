"""Each primitive has each rule, or says why not; the list of holes is tests/golden/rules.txt."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from funcflow.core import rules
from funcflow.core.errors import MissingRuleError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import Absent

# Whether the rule of a table takes the context of a transform.
FIRST = {"abstract": None, "impl": "xp", "jvp": "ctx", "transpose": "ctx", "batch": "ctx"}


def test_names_are_unique(primitives: list[Primitive]) -> None:
    names = [primitive.name for primitive in primitives]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("table", rules.TABLES, ids=lambda table: table.name)
def test_every_rule_is_there_or_declared_absent(table: Any, primitives: list[Primitive]) -> None:
    missing = [p.name for p in primitives if p not in table]
    assert not missing
    odd = [p.name for p in primitives if not (callable(table[p]) or isinstance(table[p], Absent))]
    assert not odd


@pytest.mark.parametrize("table", rules.TABLES, ids=lambda table: table.name)
def test_rules_take_what_transforms_pass(table: Any, primitives: list[Primitive]) -> None:
    for primitive in primitives:
        rule = table[primitive]
        first = FIRST[table.name]
        if not isinstance(rule, Absent) and first is not None:
            names = list(inspect.signature(rule).parameters)
            assert names[0].lstrip("_") == first, f"{table.name} of {primitive.name}: {names}"


def test_what_has_no_abstract_rule_or_cannot_be_batched_does_not_exist(
    primitives: list[Primitive],
) -> None:
    """Any function can be traced and mapped; holes are only in evaluation and differentiation."""
    for table in (rules.abstract, rules.batch):
        assert not [p.name for p in primitives if isinstance(table[p], Absent)]


def test_a_linear_primitive_has_a_derivative(primitives: list[Primitive]) -> None:
    for p in primitives:
        if rules.jvp[p] is Absent.NONDIFFERENTIABLE:
            assert rules.transpose[p] is Absent.NONLINEAR, p.name


def test_the_list_of_holes(primitives: list[Primitive], golden: Callable[[str, str], None]) -> None:
    lines = [
        f"{p.name:26} {table.name:10} {table[p].value}"
        for p in primitives
        for table in rules.TABLES
        if isinstance(table[p], Absent)
    ]
    golden("rules.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("table", rules.TABLES, ids=lambda table: table.name)
def test_a_rule_that_was_never_given_is_an_error(table: Any) -> None:
    with pytest.raises(MissingRuleError, match=f"'unheard_of' has no {table.name} rule"):
        table[Primitive("unheard_of")]
