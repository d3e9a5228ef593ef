"""A one-dimensional convolutional network that tells what someone does from a telephone's sensors.

The signals imitate those of "Human activity recognition using smartphones" (Anguita et al., 2013):
windows of 2.56 s, 50 samples a second, of total acceleration, acceleration without gravity and
angular velocity along three axes each, for six activities. Here they are generated. Who walks moves
in a cycle that begins anywhere in the window; stairs change its rate, its harmonics and how far the
axes lag behind each other. Who rests shows gravity, in a direction that depends on the posture and
on the pocket, and sways a little when standing. Everybody does so with another strength, and all
channels are noisy.

Each channel is brought to mean 0 and variance 1. Two convolutions over 3 samples find short
patterns wherever they are. A linear classifier of the same numbers has one weight for each instant;
since the cycle begins anywhere, the mean signal of all kinds of walking is the same at each, and
it can only guess.

    python examples/signals.py [--full]
"""

import argparse

import numpy as np
from sklearn.linear_model import LogisticRegression

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import data, losses, nn, optim, random, train

ACTIVITIES = ("walking", "upstairs", "downstairs", "sitting", "standing", "laying")
STEPS, CHANNELS, SAMPLES_A_SECOND = 128, 9, 50
RATE = np.float32([1.8, 1.6, 2.0, 0.0, 0.5, 0.0])  # cycles a second
HARMONICS = np.float32([[1, 0.5], [1, 0.3], [0.8, 0.8], [0, 0], [0.15, 0], [0, 0]])
LAG = np.float32([0.6, 0.9, 0.3, 0, 0.5, 0])  # of each axis behind the one before, in radians
GRAVITY = np.float32([[0, 1, 0], [0, 1, 0], [0, 1, 0], [0.4, 0.9, 0.2], [0, 1, 0], [0, 0.2, 1]])
NOISE = 0.7


def signal(key, activity):
    """One window, of shape (128, 9)."""
    keys = random.split(key, 6)
    rate = fnp.asarray(RATE)[activity] * (1 + 0.1 * random.normal(keys[0]))
    begin = random.uniform(keys[1], maxval=2 * np.pi)
    strength = fnp.exp(0.3 * random.normal(keys[2]))
    cycle = 2 * np.pi * rate * fnp.arange(STEPS) / SAMPLES_A_SECOND + begin
    lag = fnp.asarray(LAG)[activity] + 0.1 * random.normal(keys[5])
    lagging = cycle[:, None] - lag * fnp.arange(CHANNELS)
    first, second = fnp.asarray(HARMONICS)[activity]
    motion = strength * (first * fnp.cos(lagging) + second * fnp.cos(2 * lagging))
    posture = fnp.asarray(GRAVITY)[activity] + 0.15 * random.normal(keys[3], (3,))
    noise = NOISE * random.normal(keys[4], (STEPS, CHANNELS))
    return motion + noise + fnp.pad(posture, (0, CHANNELS - 3))


def recorded(key, count):
    """Windows of random activities, and which these are."""
    of_activities, of_windows = random.split(key)
    activities = random.randint(of_activities, (count,), 0, len(ACTIVITIES))
    windows = ff.jit(ff.vmap(signal))(random.split(of_windows, count), activities)
    return np.asarray(windows), np.asarray(activities)


def network(key):
    """Windows to scores of the activities."""
    keys = random.split(key, 4)
    return nn.Sequential(
        [
            nn.Conv1d(CHANNELS, 64, 3, padding="VALID", key=keys[0]),
            nn.relu,
            nn.Conv1d(64, 64, 3, padding="VALID", key=keys[1]),
            nn.relu,
            nn.Dropout(0.5),
            nn.MaxPool1d(2),
            nn.Flatten(),
            nn.Linear((STEPS - 4) // 2 * 64, 128, key=keys[2]),
            nn.relu,
            nn.Linear(128, len(ACTIVITIES), key=keys[3]),
        ]
    )


def show(confusion):
    """Print which activity (row) is taken for which (column)."""
    print(f"\n{'':12}" + "".join(f"{name:>12}" for name in ACTIVITIES))
    for name, row in zip(ACTIVITIES, np.asarray(confusion), strict=True):
        print(f"{name:12}" + "".join(f"{count:12.0f}" for count in row))


def main(windows, tested, epochs, goal):
    """Train on `windows`, test on `tested` others, and compare with a linear classifier."""
    keys = random.split(random.key(0), 4)
    (x, y), (test_x, test_y) = recorded(keys[0], windows), recorded(keys[1], tested)
    scale = data.fit_featurewise(x)
    x, test_x = scale.apply(x), scale.apply(test_x)

    loss = losses.softmax_cross_entropy_with_integer_labels
    accuracy = train.metrics.accuracy()
    fitted = train.fit(
        network(keys[2]),
        (x, y),
        loss=loss,
        optimizer=optim.adam(1e-3),
        epochs=epochs,
        batch_size=32,
        metrics={"accuracy": accuracy},
        key=keys[3],
    )
    metrics = {
        "accuracy": accuracy,
        "confusion": train.metrics.confusion_matrix(len(ACTIVITIES)),
    }
    found = train.evaluate(
        fitted.model, (test_x, test_y), loss=loss, metrics=metrics, batch_size=100
    )
    show(found["confusion"])

    linear = LogisticRegression(C=1e-3).fit(x.reshape(len(x), -1), y)
    share = linear.score(test_x.reshape(len(test_x), -1), test_y)
    print(f"\ntest accuracy of {tested} windows: {found['accuracy']:.2%}, linear: {share:.2%}")
    assert found["accuracy"] > goal, f"the accuracy is not above {goal:.0%}"
    assert found["accuracy"] > share + 0.3, "the network is little better than a linear classifier"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="as many windows as the published ones")
    full = parser.parse_args().full
    if full:
        main(windows=7352, tested=2947, epochs=10, goal=0.93)
    else:
        main(windows=1500, tested=600, epochs=4, goal=0.87)
