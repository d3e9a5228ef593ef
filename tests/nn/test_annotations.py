"""jaxtyping's annotations hold for arrays and tracers in modules' calls and fields."""

import pytest
from jaxtyping import Float, TypeCheckError, jaxtyped

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn

beartype = pytest.importorskip("beartype").beartype
X = fnp.ones((5, 3))


class Hidden(nn.Module):
    linear: nn.Linear

    @jaxtyped(typechecker=beartype)
    def __call__(self, x: Float[ff.Array, "b c"]) -> Float[ff.Array, "b d"]:
        return nn.relu(self.linear(x))


@jaxtyped(typechecker=beartype)
class Affine(nn.Module):
    weight: Float[ff.Array, "inputs outputs"]
    bias: Float[ff.Array, " outputs"]

    def __call__(self, x):
        return x @ self.weight + self.bias


@pytest.fixture
def hidden():
    return Hidden(nn.Linear(3, 2, key=ff.random.key(0)))


def test_calls_are_checked_and_all_transforms_pass(hidden):
    assert hidden(X).shape == ff.jit(hidden)(X).shape == (5, 2)
    assert ff.vmap(hidden)(X[None]).shape == (1, 5, 2)
    gradient = ff.grad(lambda m, x: m(x).sum())(hidden, X)
    assert gradient.linear.kernel.shape == (3, 2)
    _, trained = nn.training(lambda m, x: m(x))(hidden, X)
    assert ff.tree.structure(trained) == ff.tree.structure(hidden)


@pytest.mark.parametrize("wrong", [fnp.ones(3), fnp.ones((5, 3), "int32")])
@pytest.mark.parametrize("transform", [lambda f: f, ff.jit])
def test_wrong_arguments_are_refused_where_they_arrive(hidden, wrong, transform):
    with pytest.raises(TypeCheckError, match="parameter 'x'") as caught:
        transform(hidden)(wrong)
    assert caught.value.__notes__ == ["in Hidden"]


def test_fields_are_checked_by_the_constructor():
    model = Affine(fnp.ones((3, 2)), fnp.zeros(2))
    assert model(X).shape == (5, 2)
    # trees of other leaves are not constructed, but put together
    assert ff.tree.map(lambda x: x.shape, model).bias == (2,)
    with pytest.raises(TypeCheckError, match="parameter 'bias'"):
        Affine(fnp.ones((3, 2)), fnp.zeros(3))
