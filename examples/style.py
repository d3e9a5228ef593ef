"""A photograph in the style of another one, by the statistics of a network's features.

Gatys, Ecker and Bethge, "A neural algorithm of artistic style", arXiv:1508.06576. What a picture
shows is what deep convolutions find where; its style is how often what shallow and deep ones find
comes together, wherever that is: the Gram matrices G_ij = mean over places of F_i F_j. From noise,
L-BFGS finds a picture that has the content of one photograph and the style of another:

    |F - F_content|^2 / |F_content|^2 + w sum |G - G_style|^2 / |G_style|^2 + v (total variation).

With `--weights` the features are those of VGG-19: a file in the format safetensors with
torchvision's names, as `save_file(torchvision.models.vgg19(weights="DEFAULT").state_dict(), FILE)`
writes it. Without, a small network of that kind first learns some from the two photographs alone,
without labels: it tells which of them a patch is from, and by how many right angles it is turned
(as in Gidaris, Singh and Komodakis, arXiv:1803.07728). The photographs come with scikit-learn.

    python examples/style.py [--full] [--weights FILE] [--picture style.png]
"""

import argparse
from functools import partial

import numpy as np
from sklearn.datasets import load_sample_images

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import data, losses, nn, optim, random, train

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])  # of ImageNet
STYLE, VARIATION = 0.3, 10.0  # the weights w and v
PATCH, BATCH = 32, 16

# --- features -------------------------------------------------------------------------------------

SMALL = ((16, 2), (32, 2), (64, 2))  # blocks: how many channels, how many convolutions
SMALL_LAYERS = {"style": (0, 5, 10), "content": (7,)}
VGG19 = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 1))  # up to what is looked at
VGG19_LAYERS = {"style": (0, 5, 10, 19, 28), "content": (21,)}


def numbered(blocks):
    """Torchvision's numbers of convolutions, by block: a ReLU follows each, a pool the last."""
    numbers, number = [], 0
    for _, count in blocks:
        numbers.append(range(number, number + 2 * count, 2))
        number += 2 * count + 1
    return numbers


class Features(nn.Module):
    """Blocks of 3 x 3 convolutions; between blocks, pictures are halved by averages."""

    layers: dict[int, nn.Sequential]
    blocks: tuple = nn.static()

    def __init__(self, blocks, *, normalised, key):
        self.layers, self.blocks = {}, blocks
        before = 3
        conv = partial(
            nn.Conv2d,
            kernel_size=3,
            use_bias=not normalised,  # the normalisation would take it away again
            kernel_init=nn.initializers.he_normal(),
        )
        for (channels, _), numbers in zip(blocks, numbered(blocks), strict=True):
            for number in numbers:
                layer = [conv(before, channels, key=random.fold_in(key, number))]
                layer += [nn.BatchNorm(channels, momentum=0.9)] * normalised
                self.layers[number] = nn.Sequential(layer)
                before = channels

    def __call__(self, pictures):
        """What each convolution finds in pictures (batch, height, width, 3), by its number."""
        x, found = (pictures - MEAN) / STD, {}
        for numbers in numbered(self.blocks):
            x = nn.AvgPool2d(2)(x) if found else x
            for number in numbers:
                found[number] = x = nn.relu(self.layers[number](x))
        return found


def load_vgg19(path):
    """VGG-19 with the weights of a file, whose kernels are (out, in, height, width)."""
    from safetensors import SafetensorError, safe_open

    def parameter(file, name, like, order):
        if name not in file.keys():  # noqa: SIM118
            raise SystemExit(f"{path} has no {name!r}: it is no VGG-19 with torchvision's names")
        array, expected = file.get_tensor(name), like.transpose(np.argsort(order)).shape
        if array.shape != expected:
            raise SystemExit(f"{path}: {name!r} is {array.shape}, that of VGG-19 is {expected}")
        return fnp.asarray(array.transpose(order), like.dtype)

    model = Features(VGG19, normalised=False, key=random.key(0))
    try:
        with safe_open(path, framework="np") as file:
            for number, (layer,) in model.layers.items():
                kernel = parameter(file, f"features.{number}.weight", layer.kernel, (2, 3, 1, 0))
                bias = parameter(file, f"features.{number}.bias", layer.bias, (0,))
                loaded = nn.tree_at(lambda conv: (conv.kernel, conv.bias), layer, (kernel, bias))
                model = nn.tree_at(lambda m, n=number: m.layers[n][0], model, loaded)
    except (OSError, SafetensorError) as error:
        raise SystemExit(f"{path} is no file of the format safetensors: {error}") from error
    return model


# --- features from two photographs ----------------------------------------------------------------


class Classifier(nn.Module):
    """Scores of eight classes from the means of the last features."""

    features: Features
    scores: nn.Linear

    def __call__(self, patches):
        *_, last = self.features(patches).values()
        return self.scores(fnp.mean(last, axis=(1, 2)))


def learn_features(photographs, steps):
    """Features that tell photographs, and what is up in them, apart."""
    keys = random.split(random.key(0), 4)
    photographs = fnp.stack(photographs)

    def patch(key, label):
        photograph, turns = label // 4, label % 4
        part = data.random_crop(key, photographs[photograph], PATCH, PATCH)
        return fnp.stack([fnp.rot90(part, k) for k in range(4)])[turns]

    patches = ff.jit(ff.vmap(patch))
    batches = (
        data.from_arrays(np.arange(steps * BATCH, dtype=np.int32) % 8)
        .batch(BATCH)
        .map(lambda key, labels: (patches(random.split(key, BATCH), labels), labels), keys[0])
    )
    fitted = train.fit(
        Classifier(
            Features(SMALL, normalised=True, key=keys[1]), nn.Linear(SMALL[-1][0], 8, key=keys[2])
        ),
        batches,
        loss=losses.softmax_cross_entropy_with_integer_labels,
        optimizer=optim.adam(optim.cosine_decay_schedule(3e-3, steps)),
        epochs=1,
        metrics={"accuracy": train.metrics.accuracy()},
        key=keys[3],
    )
    return fitted.model.features


# --- content and style ----------------------------------------------------------------------------


def gram(found):
    """How often features come together: (channels, channels)."""
    flat = found.reshape(-1, found.shape[-1])
    return flat.T @ flat / len(flat)


def distance(a, b):
    """Relative to b."""
    return fnp.sum((a - b) ** 2) / fnp.sum(b**2)


def total_variation(picture):
    """The mean square of the differences of neighbours."""
    return fnp.mean((picture[1:] - picture[:-1]) ** 2) + fnp.mean(
        (picture[:, 1:] - picture[:, :-1]) ** 2
    )


def paint(features, layers, content, style, steps):
    """A picture with the content and the style of two, and how far it is from each of them."""
    of_content, of_style = (features(picture[None]) for picture in (content, style))

    def distances(picture):
        found = features(picture[None])
        contents = [distance(found[n], of_content[n]) for n in layers["content"]]
        styles = [distance(gram(found[n]), gram(of_style[n])) for n in layers["style"]]
        return sum(contents) / len(contents), sum(styles) / len(styles)

    def loss(picture):
        of_content, of_style = distances(picture)
        return of_content + STYLE * of_style + VARIATION * total_variation(picture)

    optimizer = optim.lbfgs()
    value_and_grad = optim.value_and_grad_from_state(loss)

    @ff.jit
    def step(picture, state):
        value, gradient = value_and_grad(picture, state=state)
        updates, state = optimizer.update(
            gradient, state, picture, value=value, grad=gradient, value_fn=loss
        )
        return optim.apply_updates(picture, updates), state, value

    picture = 0.5 + 0.1 * random.normal(random.key(1), content.shape)
    state = optimizer.init(picture)
    for count in range(steps):
        picture, state, value = step(picture, state)
        if count % (steps // 5) == 0:
            print(f"step {count:4}  loss {float(value):.4f}")
    picture = fnp.clip(picture, 0, 1)
    measure = ff.jit(distances)
    return picture, [[float(x) for x in measure(p)] for p in (picture, content, style)]


def smaller(photograph, factor):
    """The means of blocks of pixels, from 0 to 1."""
    height, width = photograph.shape[0] // factor, photograph.shape[1] // factor
    part = photograph[: height * factor, : width * factor] / np.float32(255)
    return part.reshape(height, factor, width, factor, 3).mean((1, 3))


def draw(path, **pictures):
    """The pictures side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(pictures), 3), layout="constrained")
    for axes, (title, picture) in zip(figure.subplots(1, 3), pictures.items(), strict=True):
        axes.imshow(np.asarray(picture))
        axes.set_title(title)
        axes.axis("off")
    figure.savefig(path)


def main(factor, training, steps, weights, picture):
    """Paint, and check that the picture is near to both photographs in what matters."""
    content, style = (smaller(photograph, factor) for photograph in load_sample_images().images)
    if weights:
        features, layers = load_vgg19(weights), VGG19_LAYERS
    else:
        features, layers = learn_features([content, style], training), SMALL_LAYERS
    painted, (of_painted, of_content, of_style) = paint(features, layers, content, style, steps)
    print("\ndistance from the content  from the style")
    for name, found in (("picture", of_painted), ("content", of_content), ("style", of_style)):
        print(f"{name:8} {found[0]:16.4f} {found[1]:15.4f}")
    if picture:
        draw(picture, content=content, style=style, painted=painted)
    assert of_painted[0] < 0.5 * of_style[0], "the content is not that of the photograph"
    assert of_painted[1] < 0.2 * of_content[1], "the style is not that of the other"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="a larger picture, more steps")
    parser.add_argument("--weights", metavar="FILE", help="VGG-19, in the format safetensors")
    parser.add_argument("--picture", metavar="FILE", help="draw both photographs and the result")
    args = parser.parse_args()
    if args.full:
        main(4, 600, 150, weights=args.weights, picture=args.picture)
    else:
        main(5, 240, 100, weights=args.weights, picture=args.picture)
