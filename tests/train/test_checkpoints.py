import json
import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, nn, train
from funcflow.train import checkpoints

NAMES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64"
DTYPES = [*map(np.dtype, [*NAMES.split(), "complex64", "complex128"]), np.dtype(ml_dtypes.bfloat16)]

arrays = st.builds(
    lambda values, dtype: fnp.asarray(values.astype(dtype)),
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=0, min_side=0, max_side=3)),
    st.sampled_from(DTYPES),
)
leaves = arrays | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.text()
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(trees)
def test_what_is_saved_is_restored(tmp_path_factory, tree):
    folder = tmp_path_factory.mktemp("saved")
    train.save(folder, tree)
    blank = ff.tree.map(lambda x: fnp.zeros_like(x) if nn.is_array(x) else type(x)(), tree)
    restored = train.restore(folder, blank)
    assert ff.tree.structure(restored) == ff.tree.structure(tree)
    for a, b in zip(ff.tree.leaves(tree), ff.tree.leaves(restored), strict=True):
        assert type(a) is type(b)
        if nn.is_array(a):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b


def model(features=3, key=0):
    return nn.Sequential([nn.Linear(features, 4, key=ff.random.key(key)), nn.BatchNorm(4)])


def test_models_keys_and_weak_types_are_restored(tmp_path):
    tree = {"model": model(), "key": ff.random.key(7), "rate": fnp.asarray(0.5)}
    train.save(tmp_path, tree, step=3)
    like = {"model": model(key=1), "key": ff.random.key(0), "rate": fnp.asarray(0.0)}
    restored = train.restore(tmp_path, like)
    np.testing.assert_array_equal(restored["model"].layers[0].kernel, model().layers[0].kernel)
    np.testing.assert_array_equal(
        ff.random.normal(restored["key"], 3), ff.random.normal(ff.random.key(7), 3)
    )
    assert restored["rate"].weak_type == tree["rate"].weak_type


def test_shapes_alone_will_do(tmp_path):
    train.save(tmp_path, model())
    like = ff.eval_shape(model)
    np.testing.assert_array_equal(train.restore(tmp_path, like).layers[1].var, np.ones(4))


def test_the_newest_are_kept(tmp_path):
    for step in (1, 2, 3, 2):
        train.save(tmp_path, {"n": step}, step=step, keep=2)
    assert train.saved_steps(tmp_path) == [3, 2]
    assert train.restore(tmp_path, {"n": 0}) == {"n": 2}
    assert train.restore(tmp_path, {"n": 0}, step=3) == {"n": 3}
    assert len(list(tmp_path.iterdir())) == 3  # two checkpoints and the list


def test_a_step_is_replaced(tmp_path):
    for n in (1, 2):
        train.save(tmp_path, {"n": n}, step=5)
    assert train.restore(tmp_path, {"n": 0}) == {"n": 2}
    assert train.saved_steps(tmp_path) == [5]


def test_differences_are_listed_with_key_paths(tmp_path):
    train.save(tmp_path, {"model": model(), "epoch": 1})
    other = nn.tree_at(lambda m: m.layers[0].bias, model(5), None)
    with pytest.raises(errors.CheckpointError) as caught:
        train.restore(tmp_path, {"model": other, "epoch": 1.0, "more": fnp.ones(1)})
    for line in (
        "['more']: is not in the checkpoint",
        "['model'].layers[0].bias: is in the checkpoint only",
        "['model'].layers[0].kernel: expected float32[5,4], the checkpoint has float32[3,4]",
        "['epoch']: expected float, the checkpoint has int",
    ):
        assert line in str(caught.value)


def test_a_missing_checkpoint_is_named(tmp_path):
    train.save(tmp_path, {"n": 1}, step=4)
    with pytest.raises(errors.CheckpointError, match=r"no checkpoint of step 5 .* it has: 4"):
        train.restore(tmp_path, {"n": 0}, step=5)


def test_a_leaf_that_cannot_be_saved_is_refused(tmp_path):
    train.save(tmp_path, {"n": 1})
    with pytest.raises(errors.CheckpointError, match=r"type object at \['f'\]\[0\]"):
        train.save(tmp_path, {"f": [object()]})
    assert train.restore(tmp_path, {"n": 0}) == {"n": 1}
    assert not list(tmp_path.glob(".writing-*"))


@pytest.mark.parametrize("name", ["tree.json", "arrays.safetensors"])
def test_a_damaged_file_is_named(tmp_path, name):
    folder = train.save(tmp_path, {"w": fnp.ones(100)})
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(errors.CheckpointError, match="damaged"):
        train.restore(tmp_path, {"w": fnp.zeros(100)})


def test_another_format_is_refused(tmp_path):
    train.save(tmp_path, {"n": 1})
    path = tmp_path / "checkpoints.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(errors.CheckpointError, match="has the format 99, this release reads 1"):
        train.restore(tmp_path, {"n": 0})


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("nth", [0, 1, 2, 3])
def test_a_crash_while_saving_leaves_the_last_good_one(tmp_path, monkeypatch, call, nth):
    train.save(tmp_path, {"n": 1}, step=1)
    calls = iter(range(100))
    original = getattr(os, call)

    def failing(*args):
        if next(calls) == nth:
            raise OSError("no space left on device")
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.os, call, failing)
        try:
            train.save(tmp_path, {"n": 2}, step=2)
        except OSError:
            assert train.restore(tmp_path, {"n": 0}) == {"n": 1}
        else:
            assert nth >= 2 and train.restore(tmp_path, {"n": 0}) == {"n": 2}
    train.save(tmp_path, {"n": 3}, step=3)
    assert train.restore(tmp_path, {"n": 0}) == {"n": 3}


KILLED = """
import os, sys
import funcflow.numpy as fnp
from funcflow import train
train.save(sys.argv[1], {"w": fnp.ones(1000), "n": 1}, step=1)
written = 0
def kill(event, args):
    global written
    if event in ("open", "os.rename") and (written := written + 1) == int(sys.argv[2]):
        os._exit(9)
sys.addaudithook(kill)
train.save(sys.argv[1], {"w": fnp.zeros(1000), "n": 2}, step=2)
"""


@pytest.mark.parametrize("nth", [1, 3, 5, 7])
def test_a_killed_process_leaves_the_last_good_one(tmp_path, nth):
    root = Path(ff.__file__).parents[1]
    arguments = [sys.executable, "-c", KILLED, str(tmp_path), str(nth)]
    code = subprocess.run(arguments, cwd=root, check=False).returncode
    assert code in (0, 9)
    restored = train.restore(tmp_path, {"w": fnp.zeros(1000), "n": 0})
    assert bool((restored["w"] == (restored["n"] == 1)).all())
