"""A convolutional network that classifies small images: digits, MNIST, CIFAR-10.

Two blocks of two 3 x 3 convolutions, of which the second has no padding, a maximum over 2 x 2
pixels and dropout; then two dense layers. Training images are shifted at random, and mirrored where
a mirror image shows the same thing: a car, but no 5. The learning rate falls along half a cosine.
A tenth of the training images is held out; what classifies these best is saved, and is the model
that is tested in the end, on images that have had no influence on it.

By default the images are scikit-learn's 1,797 digits, every fifth of them for testing. Two blocks
leave nothing of 8 x 8 pixels, so these are interpolated to 16 x 16. MNIST and CIFAR-10 are read
from the directory where their files are.

    python examples/image_cnn.py [--full] [--mnist DIR | --cifar10 DIR]
"""

import argparse
import tempfile
from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

import funcflow as ff
from funcflow import data, losses, nn, optim, random, train


class Task(NamedTuple):
    """Pictures to classify, and how: arrays of images and labels, and settings."""

    training: tuple
    test: tuple
    flip: bool
    epochs: int
    batch: int
    goal: float  # the test accuracy that is to be reached


def digits(full):
    """scikit-learn's digits, twice as high and wide."""
    scans, labels = load_digits(return_X_y=True)
    images = (scans.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.float32)
    images = np.asarray(nn.UpSample2d(2, method="linear")(images))
    test = np.arange(len(labels)) % 5 == 0
    labels = labels.astype(np.int32)
    parts = [(images[chosen], labels[chosen]) for chosen in (~test, test)]
    epochs, goal = (40, 0.98) if full else (8, 0.96)
    return Task(*parts, flip=False, epochs=epochs, batch=32, goal=goal)


def mnist(folder, full):
    """MNIST's digits, or what comes in the same files."""
    training, test = data.load_mnist(folder)
    epochs, goal = (12, 0.99) if full else (1, 0.95)
    return Task(training, test, flip=False, epochs=epochs, batch=128, goal=goal)


def cifar10(folder, full):
    """The CIFAR-10 photographs, of which this network classifies three quarters correctly."""
    training, test = data.load_cifar10(folder)
    epochs, goal = (50, 0.75) if full else (1, 0.40)
    return Task(training, test, flip=True, epochs=epochs, batch=32, goal=goal)


def network(image_shape, key):
    """The layers for images of a shape (height, width, channels) and ten classes."""
    height, width, channels = image_shape
    places = (((height - 2) // 2 - 2) // 2) * (((width - 2) // 2 - 2) // 2)
    keys = random.split(key, 6)
    init = nn.initializers.he_normal()
    conv = partial(nn.Conv2d, kernel_size=3, kernel_init=init)
    return nn.Sequential(
        [
            conv(channels, 32, key=keys[0]),
            nn.relu,
            conv(32, 32, padding="VALID", key=keys[1]),
            nn.relu,
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
            conv(32, 64, key=keys[2]),
            nn.relu,
            conv(64, 64, padding="VALID", key=keys[3]),
            nn.relu,
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
            nn.Flatten(),
            nn.Linear(places * 64, 512, kernel_init=init, key=keys[4]),
            nn.relu,
            nn.Dropout(0.5),
            nn.Linear(512, 10, key=keys[5]),
        ]
    )


def augmentation(flip):
    """A function of a key and a batch, which varies the batch's images."""
    changes = [partial(data.random_shift, height=0.1, width=0.1)]
    changes += [data.random_flip_left_right] * flip
    vary = ff.jit(data.batched(data.compose(*changes)))
    return lambda key, batch: (vary(key, batch[0]), batch[1])


def main(task):
    """Train, and test what did best on the images held out."""
    keys = random.split(random.key(0), 5)
    scale = data.fit_featurewise(task.training[0])

    @ff.jit
    def normalised(batch):
        return scale.apply(batch[0]), batch[1]

    training, held_out = data.train_test_split(task.training, 0.1, key=keys[0])
    batches = (
        data.from_source(training)
        .shuffle(keys[1])
        .batch(task.batch, drop_remainder=True)
        .map(augmentation(task.flip), keys[2])
        .map(normalised)
        .prefetch()
    )
    validation, test = (
        data.as_dataset(source, task.batch).map(normalised) for source in (held_out, task.test)
    )

    model = network(task.training[0].shape[1:], keys[3])
    print(train.summary(model, next(iter(batches))[0]))
    loss = losses.softmax_cross_entropy_with_integer_labels
    metrics = {"accuracy": train.metrics.accuracy()}
    rate = optim.cosine_decay_schedule(1e-3, task.epochs * len(batches))
    with tempfile.TemporaryDirectory() as folder:
        fitted = train.fit(
            model,
            batches,
            loss=loss,
            optimizer=optim.adam(rate),
            epochs=task.epochs,
            validation=validation,
            metrics=metrics,
            callbacks=[train.Checkpoint(folder, monitor="val_accuracy", mode="max")],
            key=keys[4],
        )
        best = train.load_model(folder, fitted.model)
    found = train.evaluate(best, test, loss=loss, metrics=metrics)
    print(f"\ntest accuracy: {found['accuracy']:.2%} of {len(task.test[0])} images")
    assert found["accuracy"] >= task.goal, f"the accuracy is below {task.goal:.0%}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="more epochs, to a higher accuracy")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--mnist", metavar="DIR", help="the directory of MNIST's four files")
    source.add_argument("--cifar10", metavar="DIR", help="the directory of CIFAR-10's batches")
    args = parser.parse_args()
    if args.mnist:
        main(mnist(args.mnist, args.full))
    elif args.cifar10:
        main(cifar10(args.cifar10, args.full))
    else:
        main(digits(args.full))
