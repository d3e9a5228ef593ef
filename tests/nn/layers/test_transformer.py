"""Transformers: what each place sees, caches, dropout, and PyTorch's values."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax, nn
from funcflow.errors import ArgumentError, OutOfBoundsError, UnexpectedTracerError

KEY = ff.random.key(0)
X = ff.random.normal(ff.random.key(1), (2, 6, 8))
CONTEXT = ff.random.normal(ff.random.key(2), (2, 5, 3))
BLOCKS = {
    "norms first": {},
    "norms behind": {"norm_first": False},
    "as in Llama": {
        "norm": nn.RMSNorm,
        "activation": nn.silu,
        "gated": True,
        "num_kv_heads": 1,
        "rotary": nn.RotaryEmbedding(),
        "use_bias": False,
    },
}


@pytest.fixture(params=BLOCKS.values(), ids=BLOCKS)
def options(request):
    return request.param


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_norms_stand_in_front_or_behind():
    first, behind = (nn.TransformerEncoderBlock(8, 2, norm_first=n, key=KEY) for n in (True, False))
    attend, feed, norm = first.attention, first.feed_forward, first.attention_norm
    y = X + attend(norm(X))
    close(first(X), y + feed(norm(y)))
    y = norm(X + attend(X))
    close(behind(X), norm(y + feed(y)))


@given(lengths=st.tuples(st.integers(1, 6), st.integers(1, 6)))
@settings(max_examples=6)
def test_ragged_sequences_get_what_each_gets_alone(lengths):
    encoder = nn.TransformerEncoder(2, 8, 2, rotary=nn.RotaryEmbedding(), key=KEY)
    y = encoder(X, lengths=np.array(lengths))
    for i, length in enumerate(lengths):
        close(y[i : i + 1, :length], encoder(X[i : i + 1, :length]))


def test_the_future_has_no_influence(options):
    decoder = nn.TransformerDecoder(2, 8, 2, context_features=3, key=KEY, **options)
    encoder = nn.TransformerEncoder(2, 8, 2, key=KEY, **options)
    future = np.triu(np.ones((6, 6), bool), 1)
    for run in (lambda x: decoder(x, CONTEXT)[0], lambda x: encoder(x, is_causal=True)[0]):
        jacobian = np.asarray(ff.jacrev(run)(X))[:, :, 0]
        np.testing.assert_array_equal(jacobian.transpose(0, 2, 1, 3)[future], 0)
        assert (np.abs(jacobian).max((1, 3))[~future] > 1e-7).all()


@given(cuts=st.lists(st.integers(1, 5), max_size=4, unique=True))
@settings(max_examples=6)
@pytest.mark.parametrize("context_features", [None, 3])
@pytest.mark.parametrize("options", BLOCKS.values(), ids=BLOCKS)
def test_pieces_with_a_cache_are_the_whole(options, context_features, cuts):
    decoder = nn.TransformerDecoder(2, 8, 2, context_features=context_features, key=KEY, **options)
    context = None if context_features is None else CONTEXT
    masks = {} if context is None else {"context_lengths": np.array([5, 2])}
    cache, pieces = decoder.init_cache(2, 7, context), []
    for piece in fnp.split(X, sorted(cuts), axis=1):
        y, cache = decoder(piece, cache=cache, **masks)
        pieces.append(y)
    close(fnp.concatenate(pieces, 1), decoder(X, context, **masks))


def test_compiled_loops_decode(options):
    decoder = nn.TransformerDecoder(2, 8, 2, context_features=3, key=KEY, **options)

    @ff.jit
    def decode(decoder, x, context):
        def step(cache, x):
            y, cache = decoder(x[:, None], cache=cache)
            return cache, y[:, 0]

        start = decoder.init_cache(2, 6, context)
        return fnp.swapaxes(lax.scan(step, start, fnp.swapaxes(x, 0, 1))[1], 0, 1)

    close(decode(decoder, X, CONTEXT), decoder(X, CONTEXT))
    assert "host" not in str(decode.explain(decoder, X, CONTEXT))


def test_training_compiles_whole(options):
    decoder = nn.TransformerDecoder(2, 8, 2, dropout=0.1, key=KEY, **options)
    loss = nn.training(lambda decoder, x: fnp.mean(decoder(x)[..., 0] ** 2))
    step = ff.jit(lambda d, x, key: ff.value_and_grad(loss, has_aux=True)(d, x, key=key))
    assert "host" not in str(step.explain(decoder, X, KEY))
    (value, _), _ = step(decoder, X, KEY)
    (other, _), _ = step(decoder, X, ff.random.key(1))
    assert value != other
    assert step(decoder, X, KEY)[0][0] == value


def test_blocks_may_be_stacked_and_scanned():
    keys = ff.random.split(KEY, 3)
    stacked = ff.vmap(lambda key: nn.TransformerEncoderBlock(8, 2, dropout=0.5, key=key))(keys)
    expected = X
    for key in keys:
        expected = nn.TransformerEncoderBlock(8, 2, key=key)(expected)
    close(lax.scan(lambda x, block: (block(x), None), X, stacked)[0], expected)

    def trained(blocks, x, key):
        def body(x, block_and_key):
            block, key = block_and_key
            y, _ = nn.training(lambda block, x: block(x))(block, x, key=key)
            return y, None

        return lax.scan(body, x, (blocks, ff.random.split(key, 3)))[0]

    assert not np.allclose(trained(stacked, X, KEY), expected)
    with pytest.raises(UnexpectedTracerError, match="transformed within"):
        nn.training(lambda blocks: lax.scan(lambda x, b: (b(x), None), X, blocks))(stacked, key=KEY)


def test_half_precision_is_close(options):
    encoder = nn.TransformerEncoder(2, 8, 2, key=KEY, **options)
    half = ff.tree.map(lambda p: p.astype("bfloat16"), encoder)
    y = half(X.astype("bfloat16"))
    assert y.dtype == "bfloat16"
    np.testing.assert_allclose(y.astype("float32"), encoder(X), atol=0.15)


def test_errors():
    block = nn.TransformerDecoderBlock(8, 2, key=KEY)
    with pytest.raises(ArgumentError, match="takes no context, and got one"):
        block(X, CONTEXT)
    crossed = nn.TransformerDecoderBlock(8, 2, context_features=3, key=KEY)
    for call in (lambda: crossed(X), lambda: crossed.init_cache(2, 6)):
        with pytest.raises(ArgumentError, match="attends to a context, and got none"):
            call()
    decoder = nn.TransformerDecoder(2, 8, 2, key=KEY)
    with pytest.raises(OutOfBoundsError, match="4 places, 0 of them filled, got 6 more") as caught:
        decoder(X, cache=decoder.init_cache(2, 4))
    (note,) = caught.value.__notes__
    assert note == "in TransformerDecoder.blocks[0].attention (MultiHeadAttention)"


# --- PyTorch ---------------------------------------------------------------------------------


def array(tensor):
    return fnp.asarray(tensor.detach().numpy())


def load_linear(linear, theirs):
    return linear.replace(kernel=array(theirs.weight).T, bias=array(theirs.bias))


def load_attention(attention, theirs):
    weights, biases = (fnp.split(array(x), 3) for x in (theirs.in_proj_weight, theirs.in_proj_bias))
    return attention.replace(
        query=attention.query.replace(kernel=weights[0].T, bias=biases[0]),
        key=attention.key.replace(kernel=weights[1].T, bias=biases[1]),
        value=attention.value.replace(kernel=weights[2].T, bias=biases[2]),
        out=load_linear(attention.out, theirs.out_proj),
    )


def load_norm(norm, theirs):
    return norm.replace(scale=array(theirs.weight), bias=array(theirs.bias))


def load_block(block, theirs):
    """The block with the parameters of PyTorch's TransformerEncoderLayer or -DecoderLayer."""
    feed = block.feed_forward
    parts = {
        "attention": load_attention(block.attention, theirs.self_attn),
        "attention_norm": load_norm(block.attention_norm, theirs.norm1),
        "feed_forward": feed.replace(
            hidden=load_linear(feed.hidden, theirs.linear1),
            out=load_linear(feed.out, theirs.linear2),
        ),
    }
    if isinstance(block, nn.TransformerDecoderBlock):
        parts["cross_attention"] = load_attention(block.cross_attention, theirs.multihead_attn)
        parts["cross_attention_norm"] = load_norm(block.cross_attention_norm, theirs.norm2)
    last = theirs.norm3 if "cross_attention" in parts else theirs.norm2
    return block.replace(feed_forward_norm=load_norm(block.feed_forward_norm, last), **parts)


ACTIVATIONS = {"relu": nn.relu, "gelu": partial(nn.gelu, approximate=False)}


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", ["Encoder", "Decoder"])
def test_parity_with_torch(kind, activation, norm_first):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = getattr(torch.nn, f"Transformer{kind}Layer")(
        8, 2, 16, dropout=0.0, activation=activation, norm_first=norm_first, batch_first=True
    )
    for name, p in theirs.named_parameters():
        if p.ndim == 1:  # norms and biases that are not what they start as
            torch.nn.init.normal_(p, mean=float("norm" in name and "weight" in name), std=0.3)
    options = {"activation": ACTIVATIONS[activation], "norm_first": norm_first, "key": KEY}
    x = torch.tensor(np.asarray(X), requires_grad=True)
    context = ff.random.normal(ff.random.key(3), (2, 5, 8))
    if kind == "Encoder":
        ours = load_block(nn.TransformerEncoderBlock(8, 2, 16, **options), theirs)
        expected, args = theirs(x), ()
    else:
        ours = nn.TransformerDecoderBlock(8, 2, 16, context_features=8, **options)
        ours, args = load_block(ours, theirs), (context,)
        causal = torch.triu(torch.ones(6, 6, dtype=torch.bool), 1)
        expected = theirs(x, torch.tensor(np.asarray(context)), tgt_mask=causal)
    (expected**2).sum().backward()

    def loss(block, x):
        y = block(x, *args)
        return fnp.sum(y**2), y

    (_, y), (gradient, slope) = ff.jit(ff.value_and_grad(loss, argnums=(0, 1), has_aux=True))(
        ours, X
    )
    close(y, expected.detach().numpy())
    np.testing.assert_allclose(slope, x.grad.numpy(), rtol=1e-3, atol=1e-4)
    got = {
        "self_attn.out_proj.weight": gradient.attention.out.kernel.T,
        "linear1.weight": gradient.feed_forward.hidden.kernel.T,
        "linear2.bias": gradient.feed_forward.out.bias,
        "norm1.weight": gradient.attention_norm.scale,
    }
    if kind == "Decoder":
        cross = gradient.cross_attention
        got["multihead_attn.in_proj_weight"] = fnp.concatenate(
            [m.kernel.T for m in (cross.query, cross.key, cross.value)]
        )
    parameters = dict(theirs.named_parameters())
    for name, value in got.items():
        scale = math.sqrt(float((parameters[name].grad ** 2).mean()))
        np.testing.assert_allclose(
            value, parameters[name].grad.numpy(), rtol=1e-3, atol=1e-4 * (1 + scale)
        )
