"""Places of values in a group's loops."""

import pytest

import funcflow as ff
from funcflow import lax
from funcflow.backends.passes.groups import Group, aligned, completed, new_axes, view_place
from funcflow.core.jaxpr import JaxprEqn, Var


def equation(f, *shapes: tuple[int, ...]) -> JaxprEqn:
    """The only equation of a function."""
    args = [ff.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    (eqn,) = ff.make_jaxpr(f)(*args).eqns
    return eqn


def group_of(*extents: int) -> Group:
    """A group with axes 0, 1, ..."""
    group = Group(0)
    group.extents = dict(enumerate(extents))
    return group


def placed(group: Group, eqn: JaxprEqn, *places: tuple[int | None, ...]) -> None:
    """Put the equation's operands into a group."""
    for v, place in zip(eqn.invars, places, strict=True):
        assert isinstance(v, Var)
        group.places[v] = place


def test_dimensions_of_extent_1_need_no_axis():
    assert new_axes(group_of(5, 3), (5, 1, 3)) == [0, None, 1]


def test_what_is_in_rows_or_in_elements_is_covered():
    group = group_of(5, 3)
    group.reduced = {1}
    assert group.covers((0, 1)) and group.covers((1, None, 0)) and group.covers((0, None))
    assert not group.covers((1,)) and not group.covers(())
    group.blocked = True  # the result of blocks is not known in the loops
    assert group.covers((0, 1)) and not group.covers((0, None))


def test_operands_agree_on_their_axes_or_not():
    eqn = equation(lax.add, (4, 4), (4,))
    group = group_of(4, 4)
    placed(group, eqn, (1, 0), (0,))  # the second is no value of this loop nest
    assert aligned(group, eqn) == [1, 0]
    both = equation(lax.add, (4, 4), (4, 4))
    placed(group, both, (0, 1), (1, 0))
    assert aligned(group, both) is None


def test_values_of_rows_are_used_with_elements():
    group = group_of(5, 3)
    group.reduced = {1}
    assert completed(group, [0, None], (5, 3)) == (0, 1)
    assert completed(group, [0, None], (5, 1)) == (0, None)
    assert completed(group, [0, None], (5, 4)) is None  # no axis of that extent
    assert completed(group, [0, 1, None], (5, 3, 3)) is None  # it is taken


@pytest.mark.parametrize(
    "view, expected",
    [
        (lambda x: lax.transpose(x, (1, 0)), (1, 0)),
        (lambda x: lax.reshape(x, (5, 1, 3)), (0, None, 1)),
        (lambda x: lax.reshape(x, (3, 5)), None),
        (lambda x: lax.broadcast_in_dim(x, (1, 5, 3), (1, 2)), (None, 0, 1)),
        (lambda x: lax.broadcast_in_dim(x, (2, 5, 3), (1, 2)), None),
        (lambda x: lax.rev(x, (0,)), None),
    ],
)
def test_views_that_rename_axes(view, expected):
    group, eqn = group_of(5, 3), equation(view, (5, 3))
    placed(group, eqn, (0, 1))
    assert view_place(eqn, group) == expected
