"""A U-Net that finds cells in microscope images, and Otsu's threshold, which cannot.

The images are generated: overlapping ellipses, a little brighter than what is around them, in a
light that is uneven, and noise. For each pixel the network says whether it belongs to a cell. On
the way down, blocks of convolutions alternate with maxima over 2 x 2 pixels, so that the deepest
see most of the image; on the way up the images are enlarged again, and joined with what the way
down had at that size, which knows where edges are (Ronneberger, Fischer and Brox, "U-Net",
arXiv:1505.04597). Results are measured by intersection over union: of the pixels that are in a cell
by the truth or the result, the share of those that are so by both.

A threshold cannot do that: a cell in the dark is darker than nothing in the light. Otsu's (1979)
splits each image's histogram into the two classes whose means differ most.

    python examples/unet.py [--full] [--picture cells.png]
"""

import argparse

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import data, losses, nn, optim, random, train

SIDE, CELLS = 64, 7

# --- images ---------------------------------------------------------------------------------------


def microscope_image(key):
    """An image and which of its pixels belong to cells, both of shape (64, 64, 1)."""
    keys = random.split(key, 6)
    y, x = fnp.meshgrid(*[fnp.linspace(-1, 1, SIDE)] * 2, indexing="ij")
    centres = random.uniform(keys[0], (CELLS, 2, 1, 1), minval=-1)
    radii = random.uniform(keys[1], (CELLS, 2, 1, 1), minval=0.12, maxval=0.4)
    angles = random.uniform(keys[2], (CELLS, 1, 1), maxval=np.pi)
    contrasts = random.uniform(keys[3], (CELLS, 1, 1), minval=0.15, maxval=0.35)
    x_from, y_from = x - centres[:, 0], y - centres[:, 1]
    along = (x_from * fnp.cos(angles) + y_from * fnp.sin(angles)) / radii[:, 0]
    across = (y_from * fnp.cos(angles) - x_from * fnp.sin(angles)) / radii[:, 1]
    inside = 1 - fnp.hypot(along, across)
    cells = fnp.max(contrasts * nn.sigmoid(30 * inside), axis=0)
    slope_x, slope_y, bend = random.uniform(keys[4], (3,), minval=-0.5, maxval=0.5)
    light = 0.5 + slope_x * x + slope_y * y + bend * x * y
    noise = 0.1 * random.normal(keys[5], (SIDE, SIDE))
    return (light + cells + noise)[..., None], fnp.any(inside > 0, axis=0)[..., None]


def microscope(key, count):
    """So many images and truths, as numbers."""
    images, truths = ff.jit(ff.vmap(microscope_image))(random.split(key, count))
    return np.asarray(images), np.asarray(truths, np.float32)


# --- the network ----------------------------------------------------------------------------------


def block(channels_in, channels, key):
    """Two convolutions, each normalised over the batch."""
    first, second = random.split(key)
    return nn.Sequential(
        [
            nn.Conv2d(channels_in, channels, 3, use_bias=False, key=first),
            nn.BatchNorm(channels, momentum=0.9),
            nn.relu,
            nn.Conv2d(channels, channels, 3, use_bias=False, key=second),
            nn.BatchNorm(channels, momentum=0.9),
            nn.relu,
        ]
    )


class UNet(nn.Module):
    """From images (batch, height, width, 1) to a logit for each pixel."""

    down: tuple[nn.Module, ...]
    bottom: nn.Module
    up: tuple[nn.Module, ...]
    output: nn.Module

    def __init__(self, channels, *, key):
        *above, deepest = channels
        n = len(above)
        keys = random.split(key, 2 * n + 2)
        self.down = tuple(map(block, [1, *above], above, keys[:n]))
        self.bottom = block(above[-1], deepest, keys[n])
        joined = [here + below for here, below in zip(above, channels[1:], strict=True)]
        self.up = tuple(map(block, joined, above, keys[n + 1 :]))
        self.output = nn.Conv2d(above[0], 1, 1, key=keys[-1])

    def __call__(self, x):
        seen = []
        for descend in self.down:
            seen.append(descend(x))
            x = nn.MaxPool2d(2)(seen[-1])
        x = self.bottom(x)
        for ascend, skipped in zip(reversed(self.up), reversed(seen), strict=True):
            x = ascend(fnp.concatenate([nn.UpSample2d(2)(x), skipped], axis=-1))
        return self.output(x)


# --- results --------------------------------------------------------------------------------------


def otsu(image):
    """Whether pixels are above the threshold of the greatest variance between two classes."""
    counts, edges = np.histogram(image, 256)
    centres = (edges[1:] + edges[:-1]) / 2
    low, total = np.cumsum(counts)[:-1], counts.sum()
    sum_low, sum_all = np.cumsum(counts * centres)[:-1], np.sum(counts * centres)
    between = (sum_all * low / total - sum_low) ** 2 / (low * (total - low))
    return image > edges[1 + np.argmax(between)]


def draw(path, images, truths, logits, thresholded):
    """A row for each image: itself, the truth, the network's probabilities, Otsu's choice."""
    from matplotlib.figure import Figure

    columns = {
        "image": images,
        "truth": truths,
        "U-Net": nn.sigmoid(logits),
        "Otsu": thresholded,
    }
    figure = Figure(figsize=(8, 2 * len(images)), layout="constrained")
    axes = figure.subplots(len(images), len(columns))
    for column, (title, pictures) in zip(axes.T, columns.items(), strict=True):
        column[0].set_title(title)
        for place, picture in zip(column, pictures, strict=True):
            place.imshow(np.asarray(picture)[..., 0], cmap="gray")
            place.axis("off")
    figure.savefig(path)


def main(count, channels, epochs, goal, picture):
    """Train on `count` images, and test on a hundred others."""
    keys = random.split(random.key(0), 4)
    images, truths = microscope(keys[0], count)
    test_images, test_truths = microscope(keys[1], 100)
    scale = data.fit_featurewise(images)
    steps = epochs * (count // 16)
    iou = train.metrics.iou(threshold=0.0)  # of logits
    fitted = train.fit(
        UNet(channels, key=keys[2]),
        (scale.apply(images), truths),
        loss=losses.sigmoid_binary_cross_entropy,
        optimizer=optim.adam(optim.cosine_onecycle_schedule(steps, 1e-2)),
        epochs=epochs,
        batch_size=16,
        metrics={"iou": iou},
        key=keys[3],
    )
    logits = train.predict(fitted.model, scale.apply(test_images), batch_size=20)
    thresholded = np.stack(list(map(otsu, test_images)))
    ours, threshold = float(iou(logits, test_truths)), float(iou(thresholded, test_truths))
    print(f"\nintersection over union: U-Net {ours:.3f}, Otsu's threshold {threshold:.3f}")
    if picture:
        draw(picture, test_images[:4], test_truths[:4], logits[:4], thresholded[:4])
    assert ours > goal, f"the network's is not above {goal}"
    assert threshold < 0.7, "a threshold does it, too"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="a larger network, more images")
    parser.add_argument("--picture", metavar="FILE", help="draw some results")
    args = parser.parse_args()
    if args.full:
        main(400, (16, 32, 64), epochs=12, goal=0.9, picture=args.picture)
    else:
        main(128, (8, 16, 32), epochs=10, goal=0.8, picture=args.picture)
