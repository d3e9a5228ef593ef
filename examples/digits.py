"""Train a classifier on scikit-learn's handwritten digits: 1,797 scans of 8 x 8 pixels.

The model is plain functions and a pytree of parameters. `vmap` turns the loss of one scan into
that of a batch, `grad` differentiates it, `jit` compiles the training step.

    python examples/digits.py [--epochs 30]
"""

import argparse
from itertools import pairwise

import numpy as np
from sklearn.datasets import load_digits
from tqdm import tqdm

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn, random

SIZES = (64, 128, 64, 10)
BATCH = 64


def init_params(key):
    """One (weights, bias) pair per layer, drawn with He's variance 2 / fan-in."""
    params = []
    layers = pairwise(SIZES)
    keys = random.split(key, len(SIZES) - 1)
    for layer_key, (fan_in, fan_out) in zip(keys, layers, strict=True):
        weights = random.normal(layer_key, (fan_in, fan_out)) * (2 / fan_in) ** 0.5
        params.append((weights, fnp.zeros(fan_out)))
    return params


def logits(params, scan):
    """The network's scores for the ten digits, for one scan."""
    *hidden, (last_weights, last_bias) = params
    for weights, bias in hidden:
        scan = nn.relu(scan @ weights + bias)
    return scan @ last_weights + last_bias


def loss_of_one(params, scan, digit):
    """The cross-entropy of one scan's label."""
    return -nn.log_softmax(logits(params, scan))[digit]


def loss(params, scans, digits):
    """The mean over a batch."""
    return fnp.mean(ff.vmap(loss_of_one, in_axes=(None, 0, 0))(params, scans, digits))


def adam(params, moments, gradient, step, rate=2e-3, b1=0.9, b2=0.999, eps=1e-8):
    """One update by Adam (Kingma and Ba, 2015)."""
    first, second = moments
    first = ff.tree.map(lambda m, g: b1 * m + (1 - b1) * g, first, gradient)
    second = ff.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, second, gradient)
    scale1, scale2 = 1 - b1**step, 1 - b2**step

    def update(p, m, v):
        return p - rate * (m / scale1) / (fnp.sqrt(v / scale2) + eps)

    return ff.tree.map(update, params, first, second), (first, second)


@ff.jit
def train_step(params, moments, step, scans, digits):
    """The parameters after one batch, and the loss before it."""
    value, gradient = ff.value_and_grad(loss)(params, scans, digits)
    params, moments = adam(params, moments, gradient, step)
    return params, moments, value


@ff.jit
def accuracy(params, scans, digits):
    """The share of scans whose highest score is that of their digit."""
    scores = ff.vmap(logits, in_axes=(None, 0))(params, scans)
    return fnp.mean(fnp.argmax(scores, axis=1) == digits)


def load():
    """Training and test sets: every fifth scan is for testing."""
    data = load_digits()
    scans = (data.data / 16).astype(np.float32)
    digits = data.target.astype(np.int32)
    test = np.arange(len(digits)) % 5 == 0
    return (scans[~test], digits[~test]), (scans[test], digits[test])


def main(epochs):
    """Train, and return the accuracy on the test set."""
    (scans, digits), test_set = load()
    key = random.key(0)
    params = init_params(key)
    moments = (ff.tree.map(fnp.zeros_like, params), ff.tree.map(fnp.zeros_like, params))
    print("The jaxpr of one training step:\n")
    print(train_step.lower(params, moments, 1.0, scans[:BATCH], digits[:BATCH]).as_text())
    print()

    step = 0
    with tqdm(range(epochs), desc="training", unit="epoch") as bar:
        for epoch in bar:
            order = np.asarray(random.permutation(random.fold_in(key, epoch), len(digits)))
            for start in range(0, len(order) - BATCH + 1, BATCH):
                batch = order[start : start + BATCH]
                step += 1
                params, moments, value = train_step(
                    params, moments, float(step), scans[batch], digits[batch]
                )
            bar.set_postfix(loss=f"{float(value):.4f}")

    share = float(accuracy(params, *test_set))
    print(f"\ntest accuracy: {share:.2%} on {len(test_set[1])} scans")
    return share


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    if main(parser.parse_args().epochs) < 0.96:
        raise SystemExit("the accuracy is below 96 %")
