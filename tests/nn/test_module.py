import copy
import dataclasses
import pickle
from typing import ClassVar

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.core.errors import ArgumentError, ImmutableError, UnhashableStaticError


class Affine(nn.Module):
    weight: ff.Array
    bias: ff.Array
    power: int = nn.static(default=1)

    def __call__(self, x):
        return (x @ self.weight + self.bias) ** self.power


class Drawn(nn.Module):
    weight: ff.Array
    size: int = nn.static()
    count: int = nn.static(default=7)

    def __init__(self, size: int):
        self.weight = fnp.arange(size, dtype=fnp.float32)
        self.size = size


class Inheriting(Drawn):
    def doubled(self):
        return 2 * self.weight


@pytest.fixture
def affine():
    return Affine(fnp.ones((3, 2)), fnp.zeros(2), power=2)


def test_a_module_is_a_tree_of_its_arrays(affine):
    paths = [ff.tree_util.keystr(path) for path, _ in ff.tree_util.tree_leaves_with_path(affine)]
    assert paths == [".weight", ".bias"]
    doubled = ff.tree.map(lambda x: 2 * x, affine)
    assert isinstance(doubled, Affine) and doubled.power == 2
    np.testing.assert_array_equal(doubled.weight, 2 * np.ones((3, 2)))


def test_static_fields_are_structure(affine):
    other = affine.replace(power=3)
    assert ff.tree.structure(other) != ff.tree.structure(affine)
    assert other.power == 3 and affine.power == 2


def test_transforms_take_modules_as_they_stand(affine):
    x = fnp.arange(3.0)
    gradient = ff.grad(lambda m: m(x).sum())(affine)
    np.testing.assert_allclose(gradient.bias, [6.0, 6.0])
    np.testing.assert_allclose(ff.jit(lambda m, x: m(x))(affine, x), affine(x))
    np.testing.assert_allclose(ff.jit(affine)(x), affine(x))


def test_vmap_over_a_module_runs_an_ensemble(affine):
    ensemble = ff.tree.map(lambda leaf: fnp.stack([leaf, 2 * leaf]), affine)
    x = fnp.arange(3.0)
    y = ff.vmap(lambda m: m(x))(ensemble)
    np.testing.assert_allclose(y, fnp.stack([affine(x), affine(x) * 4]))


def test_a_constructor_of_its_own_is_kept_and_inherited():
    assert Drawn(3).size == 3 and Drawn(3).count == 7
    np.testing.assert_array_equal(Inheriting(2).doubled(), [0.0, 2.0])


def test_an_inherited_constructor_leaves_defaults_to_their_fields():
    class Base(nn.Module):
        scale: ff.Array
        power: int = nn.static(default=2)

        def __init__(self, scale: float) -> None:
            self.scale = fnp.asarray(scale)

    class Derived(Base, init=False):
        offset: int = nn.static(default=3)

    derived = Derived(1.5)
    assert (derived.power, derived.offset) == (2, 3)
    assert ff.tree.structure(ff.tree.map(lambda x: x, derived)) == ff.tree.structure(derived)


def test_class_variables_are_no_fields():
    class Sized(nn.Module):
        rank: ClassVar[int] = 2
        scale: ff.Array

    doubled = ff.tree.map(lambda x: 2 * x, Sized(fnp.ones(())))
    assert doubled.rank == 2 and doubled.scale == 2


def test_fields_are_assigned_once(affine):
    with pytest.raises(ImmutableError, match=r"Affine.bias is set already[\s\S]*nn.tree_at"):
        affine.bias = fnp.ones(2)
    with pytest.raises(ImmutableError, match=r"Affine\.bias cannot be deleted"):
        del affine.bias


def test_a_name_that_is_no_field_is_refused(affine):
    with pytest.raises(ArgumentError, match="Affine has no field 'scale'"):
        affine.scale = 1.0
    with pytest.raises(ArgumentError, match="Affine has no field 'scale'"):
        affine.replace(scale=1.0)


def test_a_field_without_a_value_is_refused():
    class Forgetful(nn.Module):
        weight: ff.Array
        bias: ff.Array

        def __init__(self):
            self.weight = fnp.ones(1)

    with pytest.raises(ArgumentError, match="gave no value to the field 'bias'"):
        Forgetful()


def test_a_static_field_must_be_hashable():
    with pytest.raises(UnhashableStaticError, match=r"Affine.power has the value \[1\]"):
        Affine(fnp.ones((3, 2)), fnp.zeros(2), power=[1])  # type: ignore[arg-type]


def test_copies_and_pickles_are_equal(affine):
    for other in (copy.deepcopy(affine), pickle.loads(pickle.dumps(affine))):
        assert ff.tree.structure(other) == ff.tree.structure(affine)
        np.testing.assert_array_equal(other.weight, affine.weight)
    assert dataclasses.replace(affine, power=5).power == 5


def test_modules_hold_modules_in_containers():
    class Holder(nn.Module):
        parts: dict[str, Affine]

    holder = Holder({"a": Affine(fnp.ones((1, 1)), fnp.ones(1))})
    (path, _), *_ = ff.tree_util.tree_leaves_with_path(holder)
    assert ff.tree_util.keystr(path) == ".parts['a'].weight"


def test_vmap_constructs_ensembles():
    keys = ff.random.split(ff.random.key(0), 5)
    layers = ff.vmap(lambda key: nn.Linear(3, 2, key=key))(keys)
    assert layers.kernel.shape == (5, 3, 2)
    assert isinstance(layers, nn.Linear)
