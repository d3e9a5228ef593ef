"""Errors of training."""

import pytest

from funcflow import errors, train


def test_checkpoint_error_says_what_there_is(tmp_path):
    train.save(tmp_path, {"n": 1}, step=4)
    with pytest.raises(errors.CheckpointError) as info:
        train.restore(tmp_path, {"n": 0}, step=5)
    assert "no checkpoint of step 5" in str(info.value)
    assert "it has: 4" in str(info.value)
