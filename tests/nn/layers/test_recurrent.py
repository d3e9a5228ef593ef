"""Recurrent layers: ragged batches, both directions, stacks, carries, and PyTorch's values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.errors import ArgumentError, DtypeError, ShapeError

KEY = ff.random.key(0)
X = ff.random.normal(ff.random.key(1), (3, 6, 2))
LAYERS = {
    "SimpleRNN": lambda **options: nn.SimpleRNN(2, 4, key=KEY, **options),
    "LSTM": lambda **options: nn.LSTM(2, 4, key=KEY, **options),
    "GRU": lambda **options: nn.GRU(2, 4, key=KEY, **options),
    "GRU, reset before": lambda **options: nn.GRU(2, 4, reset_after=False, key=KEY, **options),
}


@pytest.fixture(params=LAYERS.values(), ids=LAYERS)
def make(request):
    return request.param


def close(got, expected, **tolerances):
    assert ff.tree.structure(got) == ff.tree.structure(expected)
    for a, b in zip(ff.tree.leaves(got), ff.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, **({"rtol": 1e-4, "atol": 1e-5} | tolerances))


def test_a_layer_is_its_cell_step_by_step(make):
    layer = make()
    cell = layer.layers[0].cell
    carry, outputs = cell.initial_carry((3,)), []
    for t in range(6):
        carry, y = cell(carry, X[:, t])
        outputs.append(y)
    close(layer(X, layer.initial_carry((3,))), (fnp.stack(outputs, 1), (carry,)))
    close(make(return_sequences=False)(X), outputs[-1])


def test_reverse_runs_from_the_end(make):
    close(make(reverse=True)(X), make()(X[:, ::-1])[:, ::-1])
    last = make(reverse=True, return_sequences=False)(X)
    close(last, make(return_sequences=False)(X[:, ::-1]))


def test_a_sequence_may_come_in_pieces(make):
    layer = make(num_layers=2)
    carry = layer.initial_carry((3,))
    whole, end = layer(X, carry)
    first, carry = layer(X[:, :4], carry)
    second, carry = layer(X[:, 4:], carry)
    close((fnp.concatenate([first, second], 1), carry), (whole, end))


OPTIONS = [
    {},
    {"reverse": True},
    {"num_layers": 2, "bidirectional": True},
    {"return_sequences": False, "bidirectional": True},
]


@pytest.mark.parametrize("options", OPTIONS)
@given(lengths=st.lists(st.integers(0, 6), min_size=3, max_size=3))
@settings(max_examples=8)
def test_ragged_sequences_get_what_each_gets_alone(options, lengths):
    layer = nn.LSTM(2, 4, key=KEY, **options)
    start = layer.initial_carry((3,))
    y, end = layer(X, start, lengths=np.asarray(lengths, "int32"))
    for i, length in enumerate(lengths):
        alone, alone_end = layer(X[i : i + 1, :length], layer.initial_carry((1,)))
        if options.get("return_sequences", True):
            np.testing.assert_array_equal(y[i, length:], 0)
            close(y[i : i + 1, :length], alone)
        else:
            close(y[i : i + 1], alone)
        close(ff.tree.map(lambda c, i=i: c[i : i + 1], end), alone_end)


@pytest.mark.parametrize("options", OPTIONS)
def test_padding_has_no_influence(make, options):
    """Not even if it is NaN, nor on gradients."""
    layer, lengths = make(**options), np.array([6, 2, 4])
    padded = np.arange(6) >= lengths[:, None]
    dirty = fnp.where(padded[..., None], fnp.nan, X)

    def total(layer, x):
        return fnp.sum(layer(x, lengths=lengths) ** 2)

    expected = ff.jit(ff.value_and_grad(total, argnums=(0, 1)))(layer, X)
    got = ff.jit(ff.value_and_grad(total, argnums=(0, 1)))(layer, dirty)
    close(got, expected)
    np.testing.assert_array_equal(got[1][1][padded], 0)


def test_a_mask_says_which_steps_count(make):
    layer, mask = make(), np.array([[1, 1, 0, 1, 0, 1]] * 3, bool)
    y = layer(X, mask=mask)
    close(y[:, mask[0]], layer(X[:, mask[0]]))
    np.testing.assert_array_equal(y[:, ~mask[0]], 0)
    both = layer(X, mask=mask, lengths=np.full(3, 3))
    close(both[:, :3], y[:, :3])
    np.testing.assert_array_equal(both[:, 3:], 0)


@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave"])
def test_two_directions_are_merged(make, mode):
    ahead, behind = make(), make(num_layers=2)
    layer = nn.Bidirectional(ahead, behind, merge_mode=mode)
    a, b = np.asarray(ahead(X)), np.asarray(behind(X[:, ::-1])[:, ::-1])
    expected = {
        "concat": np.concatenate([a, b], -1),
        "sum": a + b,
        "mul": a * b,
        "ave": (a + b) / 2,
    }
    close(layer(X), fnp.asarray(expected[mode]))
    y, carry = layer(X, layer.initial_carry((3,)))
    close(y, layer(X))
    assert ff.tree.structure(carry) == ff.tree.structure(layer.initial_carry((3,)))


def test_reversing_two_directions_reverses_time(make):
    layer = make(bidirectional=True)
    close(layer.reversed()(X), layer(X[:, ::-1])[:, ::-1])


def test_dropout_lies_between_layers():
    alone, stack = (nn.GRU(2, 4, num_layers=n, dropout=0.5, key=KEY) for n in (1, 2))

    def trained(layer, key):
        return np.asarray(nn.training(lambda m, x: m(x))(layer, X, key=ff.random.key(key))[0])

    np.testing.assert_array_equal(trained(alone, 0), alone(X))
    assert not np.array_equal(trained(stack, 0), trained(stack, 1))


def test_a_carry_keeps_its_dtype(make):
    layer = make()
    _, carry = layer(X.astype("bfloat16"), layer.initial_carry((3,), "float64"))
    assert {c.dtype.name for c in ff.tree.leaves(carry)} == {"float64"}
    assert layer(X.astype("bfloat16")).dtype == "float32"


@pytest.mark.parametrize("lengths", [None, np.array([6, 2, 4])])
def test_it_compiles_whole(make, lengths):
    """No step is one of Python."""
    layer = make(num_layers=2, bidirectional=True)
    step = ff.jit(ff.grad(lambda layer, x: fnp.sum(layer(x, lengths=lengths))))
    assert "host" not in str(step.explain(layer, X))


def test_errors():
    layer = nn.LSTM(2, 4, key=KEY)
    with pytest.raises(ShapeError, match=r"axes \(batch, time, features\)"):
        layer(X[0])
    with pytest.raises(ShapeError, match="2 features"):
        layer(fnp.ones((3, 6, 5)))
    with pytest.raises(ShapeError, match=r"lengths must be integers of shape \(3,\)"):
        layer(X, lengths=np.array([1, 2]))
    with pytest.raises(DtypeError, match="lengths must be integers"):
        layer(X, lengths=np.array([1.0, 2.0, 3.0]))
    with pytest.raises(DtypeError, match="mask must be booleans"):
        layer(X, mask=np.ones((3, 6)))
    with pytest.raises(ShapeError, match=r"mask must be booleans of shape \(3, 6\)"):
        layer(X, mask=np.ones((3, 5), bool))
    with pytest.raises(ArgumentError, match="merge_mode 'max'"):
        nn.Bidirectional(layer, layer, merge_mode="max")
    with pytest.raises(ArgumentError, match="num_layers=0"):
        nn.LSTM(2, 4, num_layers=0, key=KEY)


# --- PyTorch ---------------------------------------------------------------------------------


def load_cell(cell, named, suffix):
    """A cell with the parameters of a layer of PyTorch, which has a second bias for states."""
    one, two = named[f"bias_ih_{suffix}"], named[f"bias_hh_{suffix}"]
    parts = {"bias": one + two}
    if isinstance(cell, nn.GRUCell):
        two, parts["recurrent_bias"] = np.split(two, [8])
        parts["bias"] = one + np.pad(two, (0, 4))
    kernels = {
        "kernel": named[f"weight_ih_{suffix}"].T,
        "recurrent_kernel": named[f"weight_hh_{suffix}"].T,
    }
    return cell.replace(**ff.tree.map(fnp.asarray, parts | kernels))


def load(layer, named):
    """A stack with the parameters of PyTorch's."""
    layers = []
    for i, part in enumerate(layer.layers):
        if isinstance(part, nn.RNN):
            layers.append(part.replace(cell=load_cell(part.cell, named, f"l{i}")))
            continue
        ahead, behind = part.forward, part.backward
        ahead = ahead.replace(cell=load_cell(ahead.cell, named, f"l{i}"))
        behind = behind.replace(cell=load_cell(behind.cell, named, f"l{i}_reverse"))
        layers.append(part.replace(forward=ahead, backward=behind))
    return layer.replace(layers=tuple(layers))


def numbers(tensor):
    return tensor.detach().numpy()


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM", "GRU"])
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2}, {"num_layers": 2, "bidirectional": True}]
)
@pytest.mark.parametrize("lengths", [None, [6, 2, 4]])
def test_parity_with_torch(name, options, lengths):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = {"SimpleRNN": torch.nn.RNN}.get(name) or getattr(torch.nn, name)
    theirs = theirs(2, 4, batch_first=True, **options)
    ours = load(LAYERS[name](**options), {k: numbers(p) for k, p in theirs.named_parameters()})
    x = torch.tensor(np.asarray(X), requires_grad=True)
    if lengths is None:
        expected, states = theirs(x)
    else:
        pack = torch.nn.utils.rnn.pack_padded_sequence
        packed, states = theirs(pack(x, lengths, batch_first=True, enforce_sorted=False))
        pad = torch.nn.utils.rnn.pad_packed_sequence
        expected, _ = pad(packed, batch_first=True)
    (expected**2).sum().backward()

    def loss(layer, x):
        ragged = None if lengths is None else np.asarray(lengths)
        y, carry = layer(x, layer.initial_carry((3,)), lengths=ragged)
        return fnp.sum(y**2), (y, carry)

    (_, (y, carry)), (gradient, slope) = ff.jit(
        ff.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    )(ours, X)
    close(y, fnp.asarray(numbers(expected)))
    close(slope, fnp.asarray(numbers(x.grad)))
    first_state = states[0] if name == "LSTM" else states
    ends = ff.tree.leaves(carry)  # of an LSTM, h and c in turns
    close(fnp.stack(ends[::2] if name == "LSTM" else ends), fnp.asarray(numbers(first_state)))
    kernel = ff.tree.leaves(gradient)[0]
    close(kernel, fnp.asarray(numbers(theirs.weight_ih_l0.grad).T))
    close(first_cell(gradient).recurrent_kernel, fnp.asarray(numbers(theirs.weight_hh_l0.grad).T))


def first_cell(layer):
    first = layer.layers[0]
    return (first if isinstance(first, nn.RNN) else first.forward).cell
