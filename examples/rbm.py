"""A restricted Boltzmann machine: persistent contrastive divergence, checked by exact sums.

Binary pixels v and hidden units h have the probability exp(a v + b h + v W h) / Z. Given one half,
the units of the other are independent, and the hidden ones can be summed out: p(v) = exp(-F(v)) / Z
with the free energy

    F(v) = - a v - sum_j log(1 + exp(b_j + (v W)_j)).

The gradient of the likelihood is that of the mean of F over pictures of the model, minus the mean
over the data. Pictures of the model come from Gibbs chains that go on from one step of training to
the next (T. Tieleman, "Training restricted Boltzmann machines using approximations to the
likelihood gradient", ICML 2008). As derivatives do not go through the chains, that is the gradient
of a difference of free energies, and all of it is one `scan`.

With 12 hidden units, log Z is a sum over 4,096 states. So the likelihood that the chains lead to is
known. It is compared with that of independent pixels, and with what 300 steps of Adam reach along
the exact gradient, the derivative of the log likelihood itself.

With --full, the features of a machine with 200 hidden units are compared with those of
scikit-learn's BernoulliRBM: with both, a logistic regression classifies digits, and learns each of
them also moved by a pixel, up, down, left and right.

    python examples/rbm.py [--full] [--picture FILE]
"""

import argparse
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax, nn, optim, random


class RBM(NamedTuple):
    """The parameters."""

    weights: ff.Array  # (pixels, hidden)
    visible: ff.Array  # the biases a
    hidden: ff.Array  # and b


def start(pictures, hidden, key):
    """A machine before training: it knows how often each pixel is on."""
    mean = (pictures.sum(0) + 1) / (len(pictures) + 2)
    weights = 0.01 * random.normal(key, (pictures.shape[1], hidden))
    return RBM(weights, fnp.log(mean / (1 - mean)), fnp.zeros(hidden))


def free_energy(rbm, v):
    """F of each picture."""
    return -v @ rbm.visible - nn.softplus(v @ rbm.weights + rbm.hidden).sum(-1)


def gibbs(rbm, v, key):
    """A step of the chains: hidden units given the pixels, and pixels given these."""
    first, second = random.split(key)
    h = random.bernoulli(first, nn.sigmoid(v @ rbm.weights + rbm.hidden)).astype(v.dtype)
    return random.bernoulli(second, nn.sigmoid(h @ rbm.weights.T + rbm.visible)).astype(v.dtype)


def log_partition(rbm):
    """The logarithm of Z: pixels are summed out, and states of the hidden units gone through."""
    count = len(rbm.hidden)
    states = (fnp.arange(2**count)[:, None] >> fnp.arange(count) & 1).astype(rbm.weights.dtype)
    energy = -states @ rbm.hidden - nn.softplus(states @ rbm.weights.T + rbm.visible).sum(-1)
    return nn.logsumexp(-energy)


def log_likelihood(rbm, pictures):
    """The mean of log p(v), exactly."""
    return -free_energy(rbm, pictures).mean() - log_partition(rbm)


def contrast(rbm, batch, chains):
    """What has the gradient of minus the log likelihood, if the chains are samples of the model."""
    return free_energy(rbm, batch).mean() - free_energy(rbm, lax.stop_gradient(chains)).mean()


def by_chains(rbm, pictures, key, rate, steps, batch=100, chains=100):
    """A machine trained by persistent contrastive divergence, and its chains."""
    optimizer = optim.sgd(optim.linear_schedule(rate, 0, steps))

    def step(carry, key):
        rbm, state, v = carry
        for_batch, for_chains = random.split(key)
        rows = random.randint(for_batch, (batch,), 0, len(pictures))
        v = gibbs(rbm, v, for_chains)
        updates, state = optimizer.update(ff.grad(contrast)(rbm, pictures[rows], v), state)
        return (optim.apply_updates(rbm, updates), state, v), None

    carry = (rbm, optimizer.init(rbm), pictures[:chains])
    (rbm, _, v), _ = ff.jit(lambda *args: lax.scan(step, *args))(carry, random.split(key, steps))
    return rbm, v


def exactly(rbm, pictures, steps):
    """A machine trained by the exact gradient."""
    optimizer = optim.adam(0.01)

    def step(carry, _):
        rbm, state = carry
        gradient = ff.grad(lambda rbm: -log_likelihood(rbm, pictures))(rbm)
        updates, state = optimizer.update(gradient, state)
        return (optim.apply_updates(rbm, updates), state), None

    carry = (rbm, optimizer.init(rbm))
    (rbm, _), _ = ff.jit(lambda carry: lax.scan(step, carry, None, steps))(carry)
    return rbm


def compare_likelihoods(key):
    """A small machine, whose likelihood is known."""
    scans, _ = load_digits(return_X_y=True)
    scans, test = np.float32(scans > 7), np.arange(len(scans)) % 5 == 0
    scans, test = fnp.asarray(scans[~test]), fnp.asarray(scans[test])
    keys = random.split(key)
    machine = start(scans, 12, keys[0])
    by_pcd, chains = by_chains(machine, scans, keys[1], rate=0.2, steps=5000)
    pixels = machine._replace(weights=fnp.zeros_like(machine.weights))
    machines = {
        "independent pixels": pixels,
        "5000 steps along chains": by_pcd,
        "300 steps along the exact gradient": exactly(machine, scans, steps=300),
    }
    found = {name: float(log_likelihood(rbm, test)) for name, rbm in machines.items()}
    print("mean log likelihood of a test scan, exactly, with 12 hidden units:")
    for name, value in found.items():
        print(f"  {name:36}{value:.2f}")
    apart, along_chains, exact = found.values()
    assert along_chains > apart + 5, "the machine is not better than independent pixels"
    assert along_chains > exact - 0.5, "the chains do not lead to where the exact gradient does"
    return by_pcd, chains


def moved(scans, digits):
    """The scans, and each moved by a pixel up, down, left and right."""
    images = scans.reshape(-1, 8, 8)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    places = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]
    copies = [padded[:, i : i + 8, j : j + 8].reshape(-1, 64) for i, j in places]
    return np.concatenate(copies), np.tile(digits, 5)


def compare_features(key, hidden=200):
    """A large machine's features and scikit-learn's."""
    scans, digits = load_digits(return_X_y=True)
    scans, test = np.float32(scans / 16), np.arange(len(scans)) % 5 == 0
    training, labels = moved(scans[~test], digits[~test])
    keys = random.split(key)
    pictures = fnp.asarray(training)
    rbm, chains = by_chains(
        start(pictures, hidden, keys[0]), pictures, keys[1], rate=0.1, steps=10000
    )
    theirs = BernoulliRBM(hidden, learning_rate=0.06, n_iter=10, random_state=0).fit(training)

    @ff.jit
    def features(x):
        return nn.sigmoid(x @ rbm.weights + rbm.hidden)

    kinds = {
        "pixels": lambda x: x,
        "scikit-learn's features": theirs.transform,
        "our features": features,
    }
    accuracy = {}
    for name, transform in kinds.items():
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, tol=1e-3))
        classifier.fit(np.asarray(transform(training)), labels)
        known = classifier.predict(np.asarray(transform(scans[test]))) == digits[test]
        accuracy[name] = known.mean()
        print(f"logistic regression of {name:24}{accuracy[name]:.1%} of the test scans")
    pixels, scikit, ours = accuracy.values()
    assert ours > pixels + 0.04, "the features are not better than pixels"
    assert ours > scikit - 0.02, "the features are worse than scikit-learn's"
    return rbm, chains


def draw_picture(rbm, chains, path):
    """The weights of hidden units, and the chains: of each as many as fill a square."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 5.3), layout="constrained")
    limit = 3 * float(rbm.weights.std())
    for axis, title, rows, colours in [
        (axes[0], "filters", rbm.weights.T, {"cmap": "RdBu", "vmin": -limit, "vmax": limit}),
        (axes[1], "chains", chains, {"cmap": "gray_r"}),
    ]:
        across = int(len(rows) ** 0.5)
        tiles = np.asarray(rows)[: across**2].reshape(-1, 8, 8)
        tiles = np.pad(tiles, ((0, 0), (1, 1), (1, 1))).reshape(across, across, 10, 10)
        axis.imshow(np.block([list(row) for row in tiles]), **colours)
        axis.set_title(title)
        axis.axis("off")
    figure.savefig(path)
    print(f"picture: {path}")


def main(full, picture):
    """Compare likelihoods, and with `full` features too; draw the last machine."""
    keys = random.split(random.key(0))
    drawn = compare_likelihoods(keys[0])
    if full:
        drawn = compare_features(keys[1])
    if picture is not None:
        draw_picture(*drawn, picture)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="compare features, too")
    parser.add_argument("--picture", metavar="FILE", help="where to draw the filters")
    args = parser.parse_args()
    main(args.full, args.picture)
