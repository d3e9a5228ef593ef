import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.core.errors import ArgumentError, UnexpectedTracerError

KEY = ff.random.key(0)
X = ff.random.normal(ff.random.key(1), (16, 3))


def call(model, x):
    return model(x)


class Counting(nn.Module):
    """Counts its calls."""

    count: ff.Array = nn.buffer()

    def __call__(self, x):
        if nn.is_training():
            nn.update_buffer(self.count, lambda count: count + 1)
        return x


@pytest.fixture
def model():
    k1, k2 = ff.random.split(KEY)
    layers = [nn.Linear(3, 8, key=k1), nn.BatchNorm(8, momentum=0.5), nn.Dropout(0.5)]
    return nn.Sequential([*layers, nn.Linear(8, 1, key=k2)])


def test_a_model_infers_unless_it_is_trained(model):
    assert not nn.is_training()
    np.testing.assert_array_equal(model(X), model(X))
    inside: list[bool] = []
    nn.training(lambda m: inside.append(nn.is_training()))(model)
    assert inside == [True] and not nn.is_training()


def test_training_is_a_function_of_its_key(model):
    first, again, other = (nn.training(call)(model, X, key=ff.random.key(i))[0] for i in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_layers_draw_from_keys_of_their_own():
    drops = nn.training(lambda m, x: (m(x), m(x)))(nn.Dropout(0.5), fnp.ones(64), key=KEY)[0]
    assert not np.array_equal(*drops)


def test_running_averages_are_in_the_model_that_comes_out(model):
    _, trained = nn.training(call)(model, X, key=KEY)
    hidden = np.asarray(model.layers[0](X))
    np.testing.assert_allclose(trained.layers[1].mean, 0.5 * hidden.mean(0), rtol=1e-5)
    np.testing.assert_allclose(trained.layers[1].var, 0.5 + 0.5 * hidden.var(0), rtol=1e-5)
    np.testing.assert_array_equal(model.layers[1].mean, np.zeros(8))  # the old one is as it was
    assert trained.layers[0].kernel is model.layers[0].kernel


def test_training_nests_with_jit_grad_and_vmap(model):
    def loss(model, x):
        return (model(x) ** 2).mean()

    def step(model, x, key):
        return ff.value_and_grad(nn.training(loss), has_aux=True)(model, x, key=key)

    (value, trained), gradients = step(model, X, KEY)
    (jitted, trained_jitted), gradients_jitted = ff.jit(step)(model, X, KEY)
    np.testing.assert_allclose(jitted, value, rtol=1e-5)
    np.testing.assert_allclose(trained_jitted.layers[1].var, trained.layers[1].var, rtol=1e-5)
    np.testing.assert_allclose(gradients_jitted.layers[0].kernel, gradients.layers[0].kernel, 1e-3)
    np.testing.assert_array_equal(gradients.layers[1].mean, np.zeros(8))
    ensemble = ff.tree.map(lambda leaf: fnp.stack([leaf, leaf]), model)
    values, _ = ff.vmap(lambda m, key: nn.training(loss)(m, X, key=key))(
        ensemble, ff.random.split(KEY)
    )
    assert values.shape == (2,)


def test_a_layer_that_is_called_twice_learns_twice():
    _, counted = nn.training(lambda m, x: m(m(x)))(Counting(fnp.int32(0)), 1.0)
    assert counted.count == 2


def test_a_copy_with_other_parameters_changes_the_same_buffers():
    def in_half(model, x):
        spec = nn.trainable(model)
        parameters, rest = nn.partition(model, spec)
        half = ff.tree.map(lambda p: p.astype(fnp.float16), parameters)
        return nn.combine(half, rest)(x)

    layer = nn.BatchNorm(3, momentum=0.0)
    _, trained = nn.training(in_half)(layer, X)
    np.testing.assert_allclose(trained.mean, X.mean(0), rtol=1e-5)
    assert trained.scale.dtype == fnp.float32


def test_a_scan_over_layers_has_a_training_of_its_own():
    blocks = ff.vmap(lambda key: nn.Sequential([nn.Linear(3, 3, key=key), nn.Dropout(0.5)]))(
        ff.random.split(KEY, 4)
    )

    def run(blocks, x, key):
        def body(x, block_and_key):
            block, key = block_and_key
            return nn.training(call)(block, x, key=key)

        return ff.lax.scan(body, x, (blocks, ff.random.split(key, 4)))

    y, trained = run(blocks, X, KEY)
    assert y.shape == X.shape
    assert ff.tree.structure(trained) == ff.tree.structure(blocks)


def test_a_key_is_needed_where_something_is_drawn(model):
    with pytest.raises(
        ArgumentError, match=r"draws random numbers.*no key[\s\S]*key=key"
    ) as caught:
        nn.training(call)(model, X)
    assert caught.value.__notes__ == ["in Sequential.layers[2] (Dropout)"]


def test_inference_within_training_keeps_a_part_as_it_is(model):
    part = nn.Sequential([nn.BatchNorm(3, momentum=0.5), nn.Dropout(0.5)])

    def both(models, x):
        first, second = models
        return nn.inference(lambda m, x: (m(x), nn.is_training()))(first, x), second(x)

    ((kept, training), drawn), models = nn.training(both)((part, part.layers[1]), X, key=KEY)
    assert not training
    np.testing.assert_array_equal(kept, part(X))
    np.testing.assert_array_equal(models[0].layers[0].mean, part.layers[0].mean)
    assert (drawn == 0).any()  # training goes on behind it


def test_inference_draws_by_its_key():
    def draw():
        return nn.next_key(), nn.next_key()

    first, second = nn.inference(draw)(key=KEY)
    again, _ = nn.inference(draw)(key=KEY)
    data = [np.asarray(ff.random.key_data(k)) for k in (first, second, again)]
    np.testing.assert_array_equal(data[0], data[2])
    assert not np.array_equal(data[0], data[1])
    with pytest.raises(ArgumentError, match=r"in inference mode.*no key[\s\S]*nn.inference\(f\)"):
        nn.inference(draw)()
    with pytest.raises(UnexpectedTracerError, match=r"transformed within `nn\.inference`"):
        nn.inference(lambda: ff.jit(draw)())(key=KEY)


def test_inference_changes_no_buffers():
    with pytest.raises(ArgumentError, match="outside training mode"):
        nn.inference(lambda: nn.update_buffer(fnp.ones(1), lambda x: x))()


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm(3)])
@pytest.mark.parametrize(
    "within",
    [
        lambda layer, x: ff.jit(layer)(x),
        lambda layer, x: ff.checkpoint(layer)(x),
        lambda layer, x: ff.vmap(layer)(x),
        lambda layer, x: ff.lax.scan(lambda c, row: (c, layer(row)), 0, x)[1],
    ],
)
def test_a_transform_within_is_refused(layer, within):
    with pytest.raises(UnexpectedTracerError, match=r"transformed within `nn.training`"):
        nn.training(within)(layer, X, key=KEY)


def test_a_layer_that_is_no_part_of_the_model_is_refused(model):
    with pytest.raises(ArgumentError, match="no part of the model"):
        nn.training(lambda m, x: nn.BatchNorm(3)(x))(model, X)


def test_a_buffer_changes_in_training_only():
    with pytest.raises(ArgumentError, match="outside training mode"):
        nn.update_buffer(fnp.ones(1), lambda x: x)
    with pytest.raises(ArgumentError, match="outside training mode"):
        nn.next_key()
