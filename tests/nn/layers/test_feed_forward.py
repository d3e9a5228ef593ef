"""Feed-forward parts against their formulas."""

import numpy as np

import funcflow as ff
from funcflow import nn

KEY = ff.random.key(0)


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_a_feed_forward_part_is_its_formula():
    plain = nn.FeedForward(3, activation=nn.relu, key=KEY)
    x = np.asarray(ff.random.normal(ff.random.key(1), (2, 5, 3)))
    hidden = np.maximum(x @ plain.hidden.kernel, 0)
    assert hidden.shape[-1] == 12
    close(plain(x), hidden @ plain.out.kernel)
    gated = nn.FeedForward(3, 7, activation=nn.silu, gated=True, use_bias=False, key=KEY)
    first = x @ gated.hidden.kernel
    close(gated(x), first / (1 + np.exp(-first)) * (x @ gated.gate.kernel) @ gated.out.kernel)
