import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn


def test_a_model_prints_as_a_tree():
    k1, k2 = ff.random.split(ff.random.key(0))
    model = nn.Sequential([nn.Linear(300, 100, key=k1), nn.relu, nn.Linear(100, 10, key=k2)])
    assert repr(model) == (
        """\
Sequential(  # 31,110 parameters
  layers=(
    Linear(kernel=f32[300,100], bias=f32[100]),
    Activation(function=relu),
    Linear(kernel=f32[100,10], bias=f32[10]),
  ),
)"""
    )


def test_static_fields_show_if_they_differ_from_the_default():
    assert repr(nn.Dropout(0.25)) == "Dropout(rate=0.25)"
    assert repr(nn.Dropout(0.25, broadcast_axes=(1,))) == "Dropout(rate=0.25, broadcast_axes=(1,))"


def test_containers_and_other_leaves():
    class Mixed(nn.Module):
        parts: dict[str, object]
        nothing: None
        number: float
        values: list[float]

    shown = repr(Mixed({"a": fnp.arange(3)}, None, 1.5, [1.0]))
    assert shown == "Mixed(parts={'a': i32[3]}, nothing=None, number=1.5, values=[1.0])"


def test_buffers_are_no_parameters():
    assert nn.parameter_count(nn.BatchNorm(4)) == 8
    assert nn.parameter_count({"norm": nn.BatchNorm(4), "w": fnp.ones((2, 3)), "n": 3}) == 14
