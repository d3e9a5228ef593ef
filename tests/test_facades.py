"""The modules directly in funcflow/: names under which programs written for JAX look for things."""

import importlib
import subprocess
import sys

import funcflow as ff
import funcflow.numpy as fnp


def test_tracers_can_be_told_from_arrays():
    seen = []
    ff.jit(lambda x: seen.append(isinstance(x, ff.core.Tracer)) or x)(1.0)
    ff.grad(lambda x: seen.append(isinstance(x, ff.core.Tracer)) or x)(1.0)
    assert seen == [True, True]
    assert not isinstance(fnp.ones(2), ff.core.Tracer)


def test_devices_have_a_class():
    assert all(isinstance(device, ff.Device) for device in ff.devices())


def test_modules_share_their_functions():
    assert importlib.import_module("funcflow.experimental").io_callback is ff.io_callback
    assert ff.tree_util.tree_map is ff.tree.map
    flat, unravel = ff.flatten_util.ravel_pytree({"a": fnp.ones(2)})
    assert unravel(flat)["a"].tolist() == [1, 1]


def test_layers_load_at_their_first_use():
    script = """
import sys
import funcflow as ff
assert ff.nn.relu(-1.0) == 0
assert "funcflow.nn.layers" not in sys.modules
assert not hasattr(ff.nn, "NoSuchLayer")
assert "LSTM" in dir(ff.nn)
from funcflow.nn import Linear
assert Linear is ff.nn.Linear is ff.nn.layers.Linear
"""
    subprocess.run([sys.executable, "-c", script], check=True)
