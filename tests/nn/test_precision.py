import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.errors import ArgumentError

KEY = ff.random.key(0)
POLICY = nn.get_policy("params=float32,compute=bfloat16,output=float32")


def predict(model, x):
    model, x = POLICY.cast_to_compute((model, x))
    return POLICY.cast_to_output(model(x))


@pytest.fixture
def model():
    return nn.Sequential([nn.Linear(3, 4, key=KEY), nn.BatchNorm(4, momentum=0.5), nn.Dropout(0.5)])


def test_parameters_are_cast_and_nothing_else(model):
    cast = POLICY.cast_to_compute(
        {"model": model, "steps": fnp.arange(3), "name": "a", "rate": 0.1}
    )
    linear, norm, _ = cast["model"].layers
    assert linear.kernel.dtype == linear.bias.dtype == norm.scale.dtype == fnp.bfloat16
    assert norm.mean is model[1].mean and norm.var is model[1].var
    assert cast["steps"].dtype == fnp.int32 and cast["name"] == "a" and cast["rate"] == 0.1
    assert POLICY.cast_to_compute(fnp.ones(2, fnp.complex64)).dtype == fnp.complex64


def test_what_has_the_dtype_stays_the_same_object(model):
    cast = POLICY.cast_to_param(model)
    assert all(map(lambda x, y: x is y, ff.tree.leaves(cast), ff.tree.leaves(model)))


def test_each_part_has_its_dtype():
    policy = nn.Policy(fnp.float64, fnp.float16, fnp.float32)
    x = fnp.ones(2, "bfloat16")
    casts = policy.cast_to_param(x), policy.cast_to_compute(x), policy.cast_to_output(x)
    assert [y.dtype.name for y in casts] == ["float64", "float16", "float32"]
    assert policy.with_output_dtype("float64").cast_to_output(x).dtype == fnp.float64


def test_training_returns_the_model_in_the_dtype_of_parameters(model):
    x = ff.random.normal(KEY, (16, 3))

    def loss(parameters, rest, x, key):
        y, trained = nn.training(predict)(nn.combine(parameters, rest), x, key=key)
        assert y.dtype == fnp.float32
        return (y**2).mean(), trained

    parameters, rest = nn.partition(model, nn.trainable(model))
    step = ff.jit(ff.value_and_grad(loss, has_aux=True))
    (_, trained), gradient = step(parameters, rest, x, KEY)
    assert {leaf.dtype.name for leaf in ff.tree.leaves((trained, gradient))} == {"float32"}
    hidden = np.asarray(model[0](x))
    np.testing.assert_allclose(trained[1].mean, hidden.mean(0) / 2, atol=0.02)
    assert not np.array_equal(trained[1].var, model[1].var)


@pytest.mark.parametrize(
    "text, dtypes",
    [
        ("params=float32,compute=bfloat16,output=float32", ("float32", "bfloat16", "float32")),
        ("p=f32, c=f16, o=f64", ("float32", "float16", "float64")),
        ("compute=bf16,params=f32", ("float32", "bfloat16", "bfloat16")),
        ("bfloat16", ("bfloat16",) * 3),
        ("f32", ("float32",) * 3),
    ],
)
def test_policies_are_read_and_written(text, dtypes):
    policy = nn.get_policy(text)
    assert policy == nn.Policy(*dtypes)
    assert nn.get_policy(str(policy)) == policy
    assert hash(nn.get_policy(str(policy))) == hash(policy)


@pytest.mark.parametrize(
    "text",
    ["", "params=float32", "compute=float33,params=f32", "p=f32,q=f16,c=f32", "f32,c=f16", "p="],
)
def test_other_texts_are_refused(text):
    with pytest.raises(ArgumentError, match=r"is no policy[\s\S]*write it like"):
        nn.get_policy(text)


def test_a_policy_is_of_floating_dtypes():
    with pytest.raises(ArgumentError, match="compute_dtype must be a dtype of floating point"):
        nn.Policy("float32", "int8", "float32")
