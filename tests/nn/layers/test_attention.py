"""Attention layers: what each place sees, caches, groups of heads, and PyTorch's values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax, nn
from funcflow.errors import ArgumentError, DtypeError, OutOfBoundsError, ShapeError

KEY = ff.random.key(0)
X = ff.random.normal(ff.random.key(1), (2, 6, 8))
CONTEXT = ff.random.normal(ff.random.key(2), (2, 5, 3))
LAYERS = {
    "plain": {},
    "grouped": {"num_kv_heads": 2},
    "one key head": {"num_kv_heads": 1, "use_bias": False},
    "rotary": {"rotary": nn.RotaryEmbedding(base=100.0)},
    "wide": {"qkv_features": 16, "out_features": 8, "num_kv_heads": 2},
}


@pytest.fixture(params=LAYERS.values(), ids=LAYERS)
def layer(request):
    return nn.MultiHeadAttention(4, 8, key=KEY, **request.param)


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_the_future_has_no_influence(layer):
    jacobian = ff.jacrev(lambda x: layer(x, is_causal=True)[0])(X)[:, :, 0].sum((1, 3))
    future = np.triu(np.ones((6, 6), bool), 1)
    np.testing.assert_array_equal(np.asarray(jacobian)[future], 0)
    assert (np.abs(np.asarray(jacobian)[~future]) > 1e-7).all()


@given(order=st.permutations(range(6)))
@settings(max_examples=20)
def test_without_positions_a_sequence_is_a_set(order):
    layer = nn.MultiHeadAttention(4, 8, num_kv_heads=2, key=KEY)
    order = np.asarray(order)
    close(layer(X[:, order]), layer(X)[:, order])


def test_with_rotary_positions_it_is_none():
    layer = nn.MultiHeadAttention(4, 8, rotary=nn.RotaryEmbedding(), key=KEY)
    assert not np.allclose(layer(X[:, ::-1]), layer(X)[:, ::-1], atol=1e-3)


@given(cuts=st.lists(st.integers(1, 5), max_size=4, unique=True), room=st.integers(6, 9))
@settings(max_examples=10)
@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
def test_pieces_with_a_cache_are_the_whole(options, cuts, room):
    layer = nn.MultiHeadAttention(4, 8, key=KEY, **options)
    cache, pieces = layer.init_cache(2, room), []
    for piece in fnp.split(X, sorted(cuts), axis=1):
        y, cache = layer(piece, cache=cache)
        pieces.append(y)
    close(fnp.concatenate(pieces, 1), layer(X, is_causal=True))
    assert cache.length == 6


def test_a_cache_is_carried_by_compiled_loops(layer):
    @ff.jit
    def decode(layer, x):
        def step(cache, x):
            y, cache = layer(x[:, None], cache=cache)
            return cache, y[:, 0]

        return lax.scan(step, layer.init_cache(2, 8), fnp.swapaxes(x, 0, 1))[1]

    close(fnp.swapaxes(decode(layer, X), 0, 1), layer(X, is_causal=True))
    assert "host" not in str(decode.explain(layer, X))


def test_padding_in_a_cache_is_masked(layer):
    """Prompts of different lengths, with padding in front that the mask excludes."""
    if layer.rotary is not None:
        pytest.skip("padding in front shifts positions")
    keep = np.arange(8) >= np.array([0, 2])[:, None]
    y, cache = layer(X[:, :4], cache=layer.init_cache(2, 8), mask=keep[:, None, None])
    z, _ = layer(X[:, 4:], cache=cache, mask=keep[:, None, None])
    alone = layer(X[1:, 2:], is_causal=True)
    close(fnp.concatenate([y[1:, 2:], z[1:]], 1), alone)


def test_a_full_cache_is_refused(layer):
    _, cache = layer(X, cache=layer.init_cache(2, 6))
    with pytest.raises(OutOfBoundsError, match="6 places, 6 of them filled, got 1 more"):
        layer(X[:, :1], cache=cache)
    decode = ff.jit(lambda layer, x, cache: layer(x, cache=cache))
    with ff.debug_indices(), pytest.raises(OutOfBoundsError):
        decode(layer, X[:, :1], cache)


def test_grouped_heads_are_heads_that_share_keys():
    grouped = nn.MultiHeadAttention(4, 8, num_kv_heads=2, key=KEY)

    def repeated(linear):
        kernel = fnp.repeat(linear.kernel.reshape(8, 2, 2), 2, axis=1).reshape(8, 8)
        return linear.replace(kernel=kernel, bias=fnp.zeros(8))

    full = nn.MultiHeadAttention(4, 8, key=KEY).replace(
        query=grouped.query,
        key=repeated(grouped.key),
        value=repeated(grouped.value),
        out=grouped.out,
    )
    close(grouped(X, is_causal=True), full(X, is_causal=True))


def test_another_sequence_is_attended_to():
    layer = nn.MultiHeadAttention(2, 8, in_kv_features=3, out_features=5, key=KEY)
    y = layer(X, CONTEXT)
    assert y.shape == (2, 6, 5)
    close(layer.attend(X, *layer.keys_values(CONTEXT)), y)
    assert not np.allclose(layer(X, CONTEXT, 2 * CONTEXT), y)


@given(lengths=st.tuples(st.integers(1, 5), st.integers(1, 5)))
@settings(max_examples=8)
def test_padding_has_no_influence(lengths):
    layer = nn.MultiHeadAttention(2, 8, in_kv_features=3, key=KEY)
    y = layer(X, CONTEXT, lengths=np.array(lengths))
    for i, length in enumerate(lengths):
        close(y[i : i + 1], layer(X[i : i + 1], CONTEXT[i : i + 1, :length]))


def test_weights_are_dropped_in_training():
    layer = nn.MultiHeadAttention(2, 8, dropout=0.5, key=KEY)
    plain = layer.replace(dropout=nn.Dropout(0.0))
    close(layer(X), plain(X))
    train = ff.jit(nn.training(lambda layer, x: layer(x)))
    outputs = np.stack([train(layer, X, key=key)[0] for key in ff.random.split(KEY, 400)])
    assert not np.allclose(outputs[0], outputs[1])
    # linear in the weights, whose mean dropout keeps
    error = outputs.std(0) / np.sqrt(400)
    assert (np.abs(outputs.mean(0) - plain(X)) < 5 * error).all()


def test_weights_are_computed_in_float32(layer):
    half = ff.tree.map(lambda p: p.astype("float16"), layer)
    large = (50 * X).astype("float16")  # products of which float16 cannot hold
    y = half(large)
    assert y.dtype == "float16" and np.isfinite(np.asarray(y)).all()


def test_errors():
    with pytest.raises(ArgumentError, match="8 features do not fall into 3 heads"):
        nn.MultiHeadAttention(3, 8, key=KEY)
    with pytest.raises(ArgumentError, match="4 heads do not fall into 3 groups"):
        nn.MultiHeadAttention(4, 8, num_kv_heads=3, key=KEY)
    layer = nn.MultiHeadAttention(4, 8, key=KEY)
    with pytest.raises(ShapeError, match=r"axes \(batch, time, features\)"):
        layer(X[0])
    with pytest.raises(ShapeError, match="8 features") as caught:
        layer(X, CONTEXT)
    assert caught.value.__notes__ == ["in MultiHeadAttention.key (Linear)"]
    with pytest.raises(ShapeError, match="same batch size"):
        layer(X, X[:1])
    with pytest.raises(DtypeError, match="mask must be boolean"):
        layer(X, mask=np.ones((6, 6)))


# --- PyTorch ---------------------------------------------------------------------------------


def load(layer, theirs):
    """The layer with PyTorch's parameters, which has those of query, key and value in one."""
    weight = theirs.in_proj_weight.detach().numpy()
    bias = theirs.in_proj_bias.detach().numpy()
    maps = {
        name: load_linear(getattr(layer, name), w, b)
        for name, w, b in zip(
            ("query", "key", "value"), np.split(weight, 3), np.split(bias, 3), strict=True
        )
    }
    out = theirs.out_proj
    return layer.replace(
        **maps, out=load_linear(layer.out, out.weight.detach().numpy(), out.bias.detach().numpy())
    )


def load_linear(linear, weight, bias):
    return linear.replace(kernel=fnp.asarray(weight.T), bias=fnp.asarray(bias))


@pytest.mark.parametrize("masked", ["", "causal", "padding"])
def test_parity_with_torch(masked):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(8, 4, batch_first=True)
    torch.nn.init.normal_(theirs.in_proj_bias)
    ours = load(nn.MultiHeadAttention(4, 8, key=KEY), theirs)
    lengths = np.array([6, 4])
    options = {
        "": {},
        "causal": {"attn_mask": torch.triu(torch.ones(6, 6, dtype=torch.bool), 1)},
        "padding": {"key_padding_mask": torch.tensor(np.arange(6) >= lengths[:, None])},
    }[masked]
    x = torch.tensor(np.asarray(X), requires_grad=True)
    expected, _ = theirs(x, x, x, need_weights=False, **options)
    (expected**2).sum().backward()

    def loss(layer, x):
        is_causal, ragged = masked == "causal", lengths if masked == "padding" else None
        y = layer(x, is_causal=is_causal, lengths=ragged)
        return fnp.sum(y**2), y

    (_, y), (gradient, slope) = ff.jit(ff.value_and_grad(loss, argnums=(0, 1), has_aux=True))(
        ours, X
    )
    close(y, expected.detach().numpy())
    close(slope, x.grad.numpy())
    weights = [getattr(gradient, name).kernel.T for name in ("query", "key", "value")]
    close(np.concatenate(weights), theirs.in_proj_weight.grad.numpy())
    close(gradient.out.kernel.T, theirs.out_proj.weight.grad.numpy())
