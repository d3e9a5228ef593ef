"""A generative adversarial network of handwritten digits, judged by a classifier and a kernel test.

A generator makes pictures of noise by transposed convolutions, a discriminator tells them from
real ones; each is trained against the other (I. Goodfellow et al., "Generative adversarial nets",
2014; A. Radford, L. Metz and S. Chintala, "Unsupervised representation learning with deep
convolutional generative adversarial networks", arXiv:1511.06434). `train.fit` knows one model and
one loss, so the step is written here, over `nn.training`, `grad` and `optim`: two models, each with
an optimiser, in one jitted function. The generator's batch normalisation learns its averages there,
and uses them afterwards.

There is no likelihood to compare. So a classifier that has learned the real digits judges: samples
must be clear to it, with a probability above 0.9, and all ten digits among them. And the squared
maximum mean discrepancy (A. Gretton et al., "A kernel two-sample test", JMLR 13, 2012) between the
samples and the test set is compared with that of the training set, which is near zero, of
pictures with independent pixels, each drawn like that pixel of the scans, and of uniform noise.

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
BATCH = 32


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
            nn.ConvTranspose2d(2 * width, width, 4, strides=2, use_bias=False, key=keys[1]),
            nn.BatchNorm(width),
            nn.relu,
            nn.ConvTranspose2d(width, 1, 4, strides=2, key=keys[2]),
            nn.sigmoid,
        ]
    )


def convolutional(width, outputs, dropout, key):
    """From pictures to `outputs` scores: the discriminator, and the classifier that judges."""
    keys = random.split(key, 3)

    def leaky(x):
        return nn.leaky_relu(x, 0.2)

    return nn.Sequential(
        [
            nn.Conv2d(1, width, 4, strides=2, key=keys[0]),
            leaky,
            nn.Conv2d(width, 2 * width, 4, strides=2, key=keys[1]),
            leaky,
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(4 * 2 * width, outputs, key=keys[2]),
        ]
    )


class Player(NamedTuple):
    """A model and the state of its optimiser."""

    model: Any
    opt_state: Any


def learn(player, loss, optimizer, key):
    """The player after an update by a loss `(model) -> (loss, result)`, and the result."""
    parameters, rest = nn.partition(player.model, nn.trainable(player.model))

    def loss_of(parameters):
        (value, result), model = nn.training(loss)(nn.combine(parameters, rest), key=key)
        return value, (result, model)

    gradient, (result, model) = ff.grad(loss_of, has_aux=True)(parameters)
    updates, opt_state = optimizer.update(gradient, player.opt_state, parameters)
    parameters = optim.apply_updates(parameters, updates)
    return Player(nn.combine(parameters, model), opt_state), result  # the model has new averages


def make_step(optimizer):
    """A jitted step: the generator learns from the discriminator, which learns from its samples."""
    cross_entropy = losses.sigmoid_binary_cross_entropy

    @ff.jit(donate_argnums=(0, 1))
    def step(forger, critic, key, real):
        def passes_for_real(generator):
            fake = generator(random.normal(nn.next_key(), (len(real), NOISE)))
            return cross_entropy(critic.model(fake), 1.0).mean(), fake

        def tells_apart(discriminator):
            on_real, on_fake = discriminator(real), discriminator(fake)
            loss = cross_entropy(on_real, 1.0).mean() + cross_entropy(on_fake, 0.0).mean()
            return loss, loss

        key, first, second = random.split(key, 3)
        forger, fake = learn(forger, passes_for_real, optimizer, first)
        critic, loss = learn(critic, tells_apart, optimizer, second)
        return forger, critic, key, loss

    return step


# --- the judges -----------------------------------------------------------------------------------


def train_judge(scans, digits, epochs, keys):
    """A classifier of the real digits."""
    return train.fit(
        convolutional(32, 10, 0.5, keys[0]),
        (scans, digits),
        loss=losses.softmax_cross_entropy_with_integer_labels,
        optimizer=optim.adam(2e-3),
        epochs=epochs,
        batch_size=BATCH,
        key=keys[1],
        progress=False,
    ).model


@ff.jit
def discrepancy(x, y):
    """The squared maximum mean discrepancy of two samples, without bias, by a Gaussian kernel.

    The kernel's width is the median of the distances in the second sample.
    """
    x, y = (a.reshape(len(a), -1) for a in (x, y))

    def squared_distances(x, y):
        return (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T

    width = fnp.median(squared_distances(y, y))

    def kernels(x, y):
        return fnp.exp(-squared_distances(x, y) / width)

    def mean_of_pairs(x):
        return (kernels(x, x).sum() - len(x)) / (len(x) * (len(x) - 1))

    return mean_of_pairs(x) + mean_of_pairs(y) - 2 * kernels(x, y).mean()


def load():
    """Training and test sets; every fifth scan is for testing."""
    scans, digits = load_digits(return_X_y=True)
    scans = np.float32(scans / 16).reshape(-1, 8, 8, 1)
    test = np.arange(len(digits)) % 5 == 0
    return (scans[~test], digits[~test].astype(np.int32)), (scans[test], digits[test])


def draw_picture(samples, real, path):
    """Samples beside scans."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 5.3), layout="constrained")
    for axis, (title, pictures) in zip(
        axes, {"samples": samples, "scans": real}.items(), strict=True
    ):
        tiles = np.pad(np.asarray(pictures[:144, ..., 0]), ((0, 0), (1, 1), (1, 1)))
        axis.imshow(np.block([list(row) for row in tiles.reshape(12, 12, 10, 10)]), cmap="gray_r")
        axis.set_title(title)
        axis.axis("off")
    figure.savefig(path)
    print(f"picture: {path}")


def main(full, picture):
    """Train both models, and judge the samples."""
    (scans, digits), (test, test_digits) = load()
    keys = random.split(random.key(0), 6)
    width, epochs = 32, (160 if full else 40)
    batches = data.from_arrays(scans).shuffle(keys[2]).batch(BATCH, drop_remainder=True)
    optimizer = optim.adam(optim.linear_schedule(2e-3, 0, epochs * len(batches)), b1=0.5)
    forger, critic = (
        Player(model, optimizer.init(nn.filter(model, nn.trainable(model))))
        for model in (generator(width, keys[0]), convolutional(width, 1, 0.3, keys[1]))
    )
    step, key = make_step(optimizer), keys[3]
    for epoch in range(epochs):
        for batch in batches.epoch(epoch):
            forger, critic, key, loss = step(forger, critic, key, batch)
        if (epoch + 1) % (epochs // 10) == 0:
            print(f"epoch {epoch + 1}: the discriminator's loss is {float(loss):.3f}")

    samples = forger.model(random.normal(keys[4], (1000, NOISE)))
    draw = np.random.default_rng(0)
    pixels = draw.permuted(scans, axis=0)  # each from another scan
    noise = draw.random(scans.shape, np.float32)
    judge = train_judge(scans, digits, 15, random.split(keys[5]))

    def judged(pictures):
        """The share of pictures that are clearly a digit, and the digits that they are."""
        probabilities = nn.softmax(train.predict(judge, pictures, batch_size=120))
        return float((probabilities.max(1) > 0.9).mean()), np.asarray(probabilities.argmax(1))

    accuracy = (judged(test)[1] == test_digits).mean()
    print(f"the judge knows {accuracy:.1%} of the test scans; clear to it, and discrepancy:")
    clear, distance = {}, {}
    kinds = {
        "training scans": scans,
        "samples": samples,
        "independent pixels": pixels,
        "noise": noise,
    }
    for name, pictures in kinds.items():
        clear[name] = judged(pictures)[0]
        distance[name] = float(discrepancy(pictures, test))
        print(f"  {name:20} {clear[name]:6.1%}  {distance[name]:.4f}")
    shares = np.bincount(judged(samples)[1], minlength=10) / len(samples)
    print("shares of the ten digits among the samples:", *(f"{share:.1%}" for share in shares))
    if picture is not None:
        draw_picture(samples, scans, picture)
    limit = distance["independent pixels"] if full else 0.1 * distance["noise"]
    assert distance["samples"] < limit, "the samples are not distributed like the scans"
    assert clear["samples"] > clear["independent pixels"] + 0.1, "the samples are no digits"
    assert shares.min() > 0.01, "a digit is missing among the samples"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="four times as many epochs")
    parser.add_argument("--picture", metavar="FILE", help="where to write samples")
    args = parser.parse_args()
    main(args.full, args.picture)
