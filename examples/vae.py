"""A variational autoencoder of handwritten digits, and how likely digits are to it.

The model says that a picture x of black and white pixels comes from a point z of a plane,

    z ~ N(0, 1),    x_i ~ Bernoulli(sigmoid(decoder(z)_i)).

An encoder gives for each picture a normal distribution q(z | x), from which one z is drawn for each
picture in each step; the key of that draw is `nn.next_key()`. What is maximised is the evidence
lower bound of D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", arXiv:1312.6114,

    log p(x) >= E_q log p(x | z) - KL(q(z | x) || p(z)).

The likelihood itself is estimated with many draws by importance weights, as in Y. Burda, R. Grosse
and R. Salakhutdinov, "Importance Weighted Autoencoders", arXiv:1509.00519,

    log p(x) ~ log mean_k p(x | z_k) p(z_k) / q(z_k | x),

and as z has two coordinates, it is also an integral over a plane, which is computed as a sum over
a grid. Baselines are models whose maximum likelihood has a closed form: independent pixels, and
independent pixels for each of the ten digits, which are told the labels in training.

    python examples/vae.py [--full] [--mnist DIR] [--picture FILE]
"""

import argparse
import math

import numpy as np
from sklearn.datasets import load_digits

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import data, lax, losses, nn, optim, random, train

LATENTS = 2


class VAE(nn.Module):
    """An encoder and a decoder of pictures, which are rows of pixels."""

    encoder: nn.Sequential
    decoder: nn.Sequential

    def __init__(self, pixels, hidden, *, key):
        keys = random.split(key, 6)

        def layers(inputs, outputs, keys):
            return nn.Sequential(
                [
                    nn.Linear(inputs, hidden, key=keys[0]),
                    nn.relu,
                    nn.Linear(hidden, hidden, key=keys[1]),
                    nn.relu,
                    nn.Linear(hidden, outputs, key=keys[2]),
                ]
            )

        self.encoder = layers(pixels, 2 * LATENTS, keys[:3])
        self.decoder = layers(LATENTS, pixels, keys[3:])

    def posterior(self, x):
        """Mean and standard deviation of q(z | x), both (batch, 2)."""
        mean, log_deviation = fnp.split(self.encoder(x), 2, axis=-1)
        return mean, fnp.exp(log_deviation)


def log_bernoulli(x, logits):
    """The logarithm of the probability of pictures, if the pixels are independent."""
    return -losses.sigmoid_binary_cross_entropy(logits, x).sum(-1)


def log_normal(z, mean=0.0, deviation=1.0):
    """The logarithm of the density of independent normal variates."""
    u = (z - mean) / deviation
    return -(0.5 * u**2 + fnp.log(deviation) + 0.5 * math.log(2 * math.pi)).sum(-1)


def lower_bound(model, x):
    """The evidence lower bound of each picture, with one draw."""
    mean, deviation = model.posterior(x)
    z = mean + deviation * random.normal(nn.next_key(), mean.shape)
    divergence = 0.5 * (mean**2 + deviation**2 - 1 - 2 * fnp.log(deviation)).sum(-1)
    return log_bernoulli(x, model.decoder(z)) - divergence


def objective(model, x):
    """What `fit` minimises."""
    bounds = lower_bound(model, x)
    return -bounds.mean(), bounds


@ff.jit(static_argnums=3)
def estimates(model, x, key, draws):
    """The mean of the lower bound and the importance-weighted estimate of log p(x), in a loop."""
    mean, deviation = model.posterior(x)

    def draw(carry, key):
        bound, log_sum = carry
        z = mean + deviation * random.normal(key, mean.shape)
        log_weight = log_bernoulli(x, model.decoder(z)) + log_normal(z)
        log_weight -= log_normal(z, mean, deviation)
        return (bound + log_weight / draws, fnp.logaddexp(log_sum, log_weight)), None

    start = fnp.zeros(len(x)), fnp.full(len(x), -fnp.inf)
    (bound, log_sum), _ = lax.scan(draw, start, random.split(key, draws))
    return bound.mean(), (log_sum - math.log(draws)).mean()


@ff.jit
def integral(model, x):
    """The mean of log p(x), by the trapezoidal rule over a grid of the plane, row by row."""
    ticks = fnp.linspace(-5, 5, 401)

    def row(log_sum, height):
        z = fnp.stack([ticks, fnp.full(len(ticks), height)], -1)
        logits = model.decoder(z)
        # log p(x | z) for all pairs: x . logits - sum softplus(logits)
        log_joint = x @ logits.T - nn.softplus(logits).sum(-1) + log_normal(z)
        return fnp.logaddexp(log_sum, nn.logsumexp(log_joint, axis=1)), None

    log_sum, _ = lax.scan(row, fnp.full(len(x), -fnp.inf), ticks)
    return (log_sum + 2 * fnp.log(ticks[1] - ticks[0])).mean()


def baselines(training, labels, test):
    """The mean log p(x) by independent pixels, and by such pixels for each of the ten digits."""

    def log_probabilities(pictures):
        mean = (pictures.sum(0) + 1) / (len(pictures) + 2)  # Laplace's rule: none is 0 or 1
        return test @ np.log(mean) + (1 - test) @ np.log(1 - mean)

    classes = [
        log_probabilities(training[labels == digit]) + np.log(np.mean(labels == digit))
        for digit in range(10)
    ]
    return log_probabilities(training).mean(), np.logaddexp.reduce(classes).mean()


def load(folder):
    """Binary pictures as rows, and labels: for training, and the pictures for the test."""
    if folder is not None:
        (images, labels), (test, _) = data.load_mnist(folder)
        scans, test = (np.float32(x.reshape(len(x), -1) > 127) for x in (images, test))
        return scans, labels, test
    scans, labels = load_digits(return_X_y=True)
    scans, chosen = np.float32(scans > 7), np.arange(len(labels)) % 5 == 0
    return scans[~chosen], labels[~chosen], scans[chosen]


def draw_picture(model, test, path):
    """Pictures and their reconstructions, samples, and the plane of z."""
    import matplotlib.pyplot as plt

    side = int(np.sqrt(test.shape[1]))
    ticks = np.linspace(-2.5, 2.5, 15)
    plane = np.stack(np.meshgrid(ticks, ticks[::-1]), -1).reshape(-1, 2).astype(np.float32)
    samples = random.normal(random.key(5), (100, LATENTS))
    pairs = np.stack([test[:50], nn.sigmoid(model.decoder(model.posterior(test[:50])[0]))], 1)
    panels = {
        "test pictures and reconstructions": (pairs.reshape(100, -1), 10),
        "means of samples": (nn.sigmoid(model.decoder(samples)), 10),
        "the plane, from -2.5 to 2.5": (nn.sigmoid(model.decoder(plane)), 15),
    }
    figure, axes = plt.subplots(1, 3, figsize=(15, 5.3), layout="constrained")
    for axis, (title, (rows, across)) in zip(axes, panels.items(), strict=True):
        tiles = np.pad(np.asarray(rows).reshape(-1, side, side), ((0, 0), (1, 1), (1, 1)))
        tiles = tiles.reshape(-1, across, side + 2, side + 2)
        axis.imshow(np.block([list(row) for row in tiles]), cmap="gray_r")
        axis.set_title(title)
        axis.axis("off")
    figure.savefig(path)
    print(f"picture: {path}")


def main(full, folder, picture):
    """Train, and compare the likelihoods."""
    training, labels, test = load(folder)
    keys = random.split(random.key(0), 3)
    fitted = train.fit(
        VAE(training.shape[1], 256 if full else 128, key=keys[0]),
        training,
        objective=objective,
        optimizer=optim.adam(1e-3 if full else 3e-3),
        epochs=150 if full else 40,
        batch_size=64,
        validation=test,
        key=keys[1],
    )
    pixels, digits = baselines(training, labels, test)
    bound, likelihood = (float(x) for x in estimates(fitted.model, test, keys[2], 500))
    exact = float(integral(fitted.model, test))
    print("mean log likelihood of a test picture:")
    print(f"  independent pixels                      {pixels:.2f}")
    print(f"  independent pixels, given ten classes   {digits:.2f}")
    print(f"  autoencoder: evidence lower bound       {bound:.2f}")
    print(f"               500 importance weights     {likelihood:.2f}")
    print(f"               integral over the plane    {exact:.2f}")
    if picture is not None:
        draw_picture(fitted.model, test, picture)
    assert bound < likelihood < exact + 0.05, "the bounds are not in order"
    assert exact - likelihood < 0.5, "the estimate is not near the integral"
    assert bound > pixels + 4, "the autoencoder is not better than independent pixels"
    assert exact > digits, "the autoencoder is not better than what is told the digits"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="a larger network, and more epochs")
    parser.add_argument("--mnist", metavar="DIR", help="the directory of MNIST's four files")
    parser.add_argument("--picture", metavar="FILE", help="where to write a picture")
    args = parser.parse_args()
    main(args.full, args.mnist, args.picture)
