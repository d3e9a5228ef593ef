"""Errors of training."""

import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, nn, optim, train


def test_checkpoint_error_says_what_there_is(tmp_path):
    train.save(tmp_path, {"n": 1}, step=4)
    with pytest.raises(errors.CheckpointError) as info:
        train.restore(tmp_path, {"n": 0}, step=5)
    assert "no checkpoint of step 5" in str(info.value)
    assert "it has: 4" in str(info.value)


def test_divergence_error_names_where_it_comes_from():
    x = fnp.ones((4, 1))
    with pytest.raises(errors.DivergenceError) as info:
        train.fit(
            nn.Linear(1, 1, key=ff.random.key(0)),
            (x, x),
            loss=lambda predictions, targets: predictions / 0,
            optimizer=optim.sgd(0.1),
            epochs=1,
            batch_size=4,
            progress=False,
        )
    assert "the loss is -inf" in str(info.value) or "the loss is inf" in str(info.value)
    assert "in the loss function" in str(info.value)
    assert info.value.result.history.rows == []
