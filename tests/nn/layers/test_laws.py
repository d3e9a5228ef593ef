"""What holds for every layer: each law runs over the tables `cases.py` and `cases_sequences.py`."""

import copy
import pickle
import runpy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.backends.numba import onednn
from funcflow.errors import ShapeError
from funcflow.testing import check_grads

KEY = ff.random.key(0)
SMALL = {"float16": 1e-2, "bfloat16": 6e-2, "float32": 1e-5}


def is_shape(x: Any) -> bool:
    return isinstance(x, tuple)


@dataclass(frozen=True)
class Case:
    """A layer of the table, with inputs that it takes."""

    make: Callable[[Any, Any], nn.Module]
    """Makes the layer of a key and a dtype (or None); layers without parameters ignore both."""
    inputs: Sequence[Any]
    """The arguments of a call, the batch first: shapes of real arrays, or arrays of integers.

    An argument may be a list of these.
    """
    output: Any
    """The shape of what a call gives; for several arrays a tree of shapes."""
    wrong: Sequence[Sequence[Any]] = ()
    """Other inputs, each with a wrong rank or extent."""
    independent: bool = True
    """Whether each example of a batch is computed by itself, in all arguments and results."""

    def layer(self, dtype: Any = None, key: Any = KEY) -> nn.Module:
        return self.make(key, None if dtype is None else fnp.dtype(dtype))

    def arguments(self, dtype: Any = None, inputs: Any = None, seed: int = 1) -> list[Any]:
        inputs = list(self.inputs if inputs is None else inputs)
        leaves, treedef = ff.tree.flatten(inputs, is_leaf=is_shape)
        keys = ff.random.split(ff.random.key(seed), len(leaves))
        return treedef.unflatten(
            ff.random.normal(key, x).astype(dtype or fnp.float32) if is_shape(x) else x
            for key, x in zip(keys, leaves, strict=True)
        )


CASES: dict[str, Case] = {
    name: Case(**row)
    for table in ("cases.py", "cases_sequences.py")
    for name, row in runpy.run_path(str(Path(__file__).with_name(table)))["CASES"].items()
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def call(layer: Any, *args: Any) -> Any:
    return layer(*args)


def assert_same(got: Any, expected: Any, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    """Two trees have one structure and nearly the same arrays."""
    assert ff.tree.structure(got) == ff.tree.structure(expected)
    for x, y in zip(ff.tree.leaves(got), ff.tree.leaves(expected), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(wide(x), wide(y), rtol, atol)


def wide(x: Any) -> np.ndarray:
    x = np.asarray(x)
    return x if x.dtype.kind in "biu" else x.astype(np.float64)


def test_every_layer_has_a_case() -> None:
    public = {
        value
        for value in vars(nn).values()
        if isinstance(value, type) and issubclass(value, nn.Module) and value is not nn.Module
    }
    covered = {type(case.layer()) for case in CASES.values()}
    missing = sorted(cls.__name__ for cls in public - covered)
    assert not missing, f"add rows for {missing} to a table of tests/nn/layers"


def test_shape(case: Case) -> None:
    output = case.layer()(*case.arguments())
    assert ff.tree.map(np.shape, output) == case.output
    traced = ff.eval_shape(call, case.layer(), *case.arguments())
    assert ff.tree.map(lambda x: x.shape, traced) == case.output


def test_gradient(case: Case) -> None:
    check_grads(call, (case.layer("float64"), *case.arguments("float64")), order=1)


def test_jit(case: Case) -> None:
    layer, args = case.layer(), case.arguments()
    assert_same(ff.jit(call)(layer, *args), layer(*args))


def test_training_under_jit(case: Case) -> None:
    train = nn.training(call)
    layer, args = case.layer(), case.arguments()
    expected = train(layer, *args, key=KEY)
    assert_same(ff.jit(train)(layer, *args, key=KEY), expected)
    assert ff.tree.structure(expected[1]) == ff.tree.structure(layer)


def test_gradient_in_training(case: Case) -> None:
    """The key is held fixed, so the function is as smooth as in inference."""

    def trained(layer: Any, *args: Any) -> Any:
        return nn.training(call)(layer, *args, key=KEY)[0]

    check_grads(trained, (case.layer("float64"), *case.arguments("float64")), order=1)


@pytest.mark.skipif(onednn.library() is None, reason="needs the wheel of oneDNN")
def test_a_training_step_is_native(case: Case) -> None:
    """Forward and backward, no step is left to Python."""

    def step(inputs: Any, key: Any) -> Any:
        parameters, rest = nn.partition(inputs, nn.trainable(inputs))

        def loss(parameters: Any) -> Any:
            layer, args = nn.combine(parameters, rest)
            output, trained = nn.training(call)(layer, *args, key=key)
            return sum(fnp.sum(y**2) for y in ff.tree.leaves(output)), trained

        return ff.value_and_grad(loss, has_aux=True)(parameters)

    explanation = ff.jit(step).lower((case.layer(), case.arguments()), KEY).explain()
    assert not host_steps(explanation), explanation


def host_steps(explanation: Any) -> list[Any]:
    inner = [step for body in explanation.inner for step in host_steps(body)]
    return [step.computes for step in explanation.steps if step.kind == "host"] + inner


def test_ensemble(case: Case) -> None:
    """`vmap` over models, made by `vmap` over keys, is a loop."""
    keys = ff.random.split(KEY, 3)
    members = [case.layer(key=key) for key in keys]
    ensemble = ff.vmap(lambda key: case.layer(key=key))(keys)
    assert_same(ensemble, ff.tree.map(lambda *leaves: fnp.stack(leaves), *members))
    args = [case.arguments(seed=seed) for seed in range(3)]
    stacked = ff.tree.map(lambda *xs: fnp.stack(xs), *args)
    outputs = [layer(*xs) for layer, xs in zip(members, args, strict=True)]
    expected = ff.tree.map(lambda *leaves: fnp.stack(leaves), *outputs)
    assert_same(ff.vmap(call)(ensemble, *stacked), expected)


def test_examples_are_independent(case: Case) -> None:
    if not case.independent:
        pytest.skip("its examples depend on each other")
    layer, args = case.layer(), case.arguments()
    alone = layer(*ff.tree.map(lambda x: x[1:2], args))
    assert_same(alone, ff.tree.map(lambda y: y[1:2], layer(*args)))


def test_an_empty_batch(case: Case) -> None:
    if not case.independent:
        pytest.skip("its examples depend on each other")
    layer, args = case.layer(), case.arguments()
    empty = ff.tree.map(lambda x: x[:0], args)
    expected = ff.tree.map(lambda y: y[:0], layer(*args))
    assert_same(layer(*empty), expected)
    assert_same(ff.jit(call)(layer, *empty), expected)


def test_flattening_keeps_it(case: Case) -> None:
    layer, args = case.layer(), case.arguments()
    leaves, treedef = ff.tree.flatten(layer)
    assert all(map(nn.is_array, leaves))
    again = treedef.unflatten(leaves)
    assert type(again) is type(layer) and repr(again) == repr(layer)
    assert_same(again(*args), layer(*args))


@pytest.mark.parametrize("copied", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_copies_are_equal(case: Case, copied: Callable[[Any], Any]) -> None:
    layer, args = case.layer(), case.arguments()
    again = copied(layer)
    assert_same(again, layer)
    assert_same(again(*args), layer(*args))


@pytest.mark.parametrize("dtype", SMALL)
def test_dtype(case: Case, dtype: str) -> None:
    """Parameters and inputs of a dtype give it; the values are those of double precision."""
    layer, args = case.layer(dtype), case.arguments(dtype)
    for leaf in ff.tree.leaves(layer):
        if nn.is_inexact_array(leaf):
            assert leaf.dtype == dtype
    exact = call(*ff.tree.map(in_double, (layer, *args)))
    for got, expected in zip(*map(ff.tree.leaves, (layer(*args), exact)), strict=True):
        if nn.is_inexact_array(got):
            assert got.dtype == dtype
        scale = SMALL[dtype] * (1 + np.abs(wide(expected)).max(initial=0))
        np.testing.assert_allclose(wide(got), wide(expected), atol=scale)


def in_double(x: Any) -> Any:
    return x.astype("float64") if nn.is_inexact_array(x) else x


def test_wrong_shapes_are_refused(case: Case) -> None:
    layer = case.layer()
    for wrong in case.wrong:
        with pytest.raises(ShapeError) as caught:
            layer(*case.arguments(inputs=wrong))
        (note,) = caught.value.__notes__
        assert note.startswith(f"in {type(layer).__name__}")


def test_text(case: Case) -> None:
    """It depends on nothing but shapes and settings, and names the class."""
    text = repr(case.layer())
    assert text == repr(case.layer(key=ff.random.key(7)))
    assert text.startswith(f"{type(case.layer()).__name__}(") and " at 0x" not in text
