import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, losses, nn, optim, train


class Logarithm(nn.Module):
    def __call__(self, x):
        return fnp.log(x)


def fit(model, data, **changes):
    arguments = {"loss": losses.squared_error, "optimizer": optim.sgd(0.1), "epochs": 2}
    return train.fit(model, data, batch_size=4, progress=False, **{**arguments, **changes})


@pytest.fixture
def model():
    linear = nn.Linear(1, 1, kernel_init=nn.initializers.ones, key=ff.random.key(0))
    return nn.Sequential([linear, Logarithm(), nn.relu])


def test_the_layer_is_named_and_nothing_is_lost(model):
    x = np.ones((12, 1), np.float32)
    x[7] = -1
    batches = [(x[i : i + 4], x[i : i + 4]) for i in (0, 4, 8)]
    with pytest.raises(errors.DivergenceError) as caught:
        train.fit(
            model,
            batches,
            loss=losses.squared_error,
            optimizer=optim.sgd(0.1),
            epochs=2,
            progress=False,
        )
    message = str(caught.value)
    assert "the loss is nan in epoch 1, batch 2 (step 2)" in message
    assert "it first appears in what .layers[1] (Logarithm) gives" in message
    assert "learning rate" in message
    result = caught.value.result
    assert int(result.state.step) == 1
    assert all(bool(fnp.isfinite(leaf).all()) for leaf in ff.tree.leaves(result.model))


def test_the_data_may_be_at_fault(model):
    x = np.array([[1.0], [np.inf], [1.0], [1.0]], np.float32)
    with pytest.raises(errors.DivergenceError, match=r"the batch's entry \[0\] is so already"):
        fit(model, (x, np.ones_like(x)))


def test_a_parameter_may_be_at_fault(model):
    bad = nn.tree_at(lambda m: m.layers[0].bias, model, fnp.full(1, fnp.nan))
    x = np.ones((4, 1), np.float32)
    with pytest.raises(errors.DivergenceError, match=r"the parameter \.layers\[0\]\.bias is so"):
        fit(bad, (x, x))


def test_the_loss_may_be_at_fault(model):
    def loss(predictions, targets):
        return fnp.log(predictions * 0)

    x = np.ones((4, 1), np.float32)
    with pytest.raises(errors.DivergenceError, match=r"the loss is -inf.*in the loss function"):
        fit(model, (x, x), loss=loss)
