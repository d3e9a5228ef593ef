"""A generative adversarial network of handwritten digits, judged by a classifier and a kernel test.

A generator makes pictures of noise by transposed convolutions, a discriminator tells them from
real ones; each is trained against the other (I. Goodfellow et al., "Generative adversarial nets",
2014; A. Radford, L. Metz and S. Chintala, "Unsupervised representation learning with deep
convolutional generative adversarial networks", arXiv:1511.06434). Two models and two optimisers make
one jitted step, a loop that `train.fit` does not know. Batch normalisation learns its averages in
training mode, by `nn.training`; afterwards the generator is called with these.

There is no likelihood to compare. So a classifier, which has learned the real digits, is to find
the samples confident, and all ten digits among them; and the squared maximum mean discrepancy
(A. Gretton et al., "A kernel two-sample test", JMLR 13, 2012) between samples and the test set is
compared with that of the training set, which is near zero, and of independent pixels.

    python examples/gan.py [--full] [--picture FILE]
"""

import argparse
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import data, losses, nn, optim, random, train

NOISE = 16
BATCH = 64


class Reshape(nn.Module):
    """Rows as pictures of 2 x 2 pixels."""

    def __call__(self, x):
        return x.reshape(len(x), 2, 2, -1)


def generator(width, key):
    """From noise (batch, 16) to pictures (batch, 8, 8, 1) of numbers from 0 to 1."""
    keys = random.split(key, 3)
    return nn.Sequential(
        [
            nn.Linear(NOISE, 4 * 2 * width, key=keys[0]),
            Reshape(),
            nn.BatchNorm(2 * width),
            nn.relu,
            nn.ConvTranspose2d(2 * width, width, 4, strides=2, key=keys[1]),
            nn.BatchNorm(width),
            nn.relu,
            nn.ConvTranspose2d(width, 1, 4, strides=2, key=keys[2]),
            nn.sigmoid,
        ]
    )


def convolutional(width, outputs, key):
    """From pictures to `outputs` scores: the discriminator, and the classifier that judges."""
    keys = random.split(key, 3)

    def leaky(x):
        return nn.leaky_relu(x, 0.2)

    return nn.Sequential(
        [
            nn.Conv2d(1, width, 4, strides=2, key=keys[0]),
            leaky,
            nn.Dropout(0.3),
            nn.Conv2d(width, 2 * width, 4, strides=2, key=keys[1]),
            leaky,
            nn.Dropout(0.3),
            nn.Flatten(),
            nn.Linear(4 * 2 * width, outputs, key=keys[2]),
        ]
    )


class State(NamedTuple):
    """What a step changes: two models and the states of their optimisers."""

    generator: Any
    discriminator: Any
    for_generator: Any
    for_discriminator: Any


def make_step(optimizer):
    """A jitted step: the discriminator learns from real pictures and samples, the generator from it."""

    def learn(loss, model, opt_state, key):
        """An update of a model by a loss `(model) -> (loss, what else)`, run in training mode."""
        parameters, rest = nn.partition(model, nn.trainable(model))

        def loss_of(parameters):
            (value, other), changed = nn.training(loss)(nn.combine(parameters, rest), key=key)
            return value, (other, changed)

        gradient, (other, changed) = ff.grad(loss_of, has_aux=True)(parameters)
        updates, opt_state = optimizer.update(gradient, opt_state, parameters)
        parameters = optim.apply_updates(parameters, updates)
        buffers = nn.filter(changed, nn.trainable(changed), True)
        return nn.combine(parameters, buffers), opt_state, other
