"""A transformer writes about Python, character by character.

The text is the language reference that `help()` shows, half a million characters, which are on the
disk of whoever runs Python. The model is the decoder of A. Vaswani et al., "Attention Is All You
Need" (2017), arXiv:1706.03762, without an encoder: each place sees itself and those before it, and
gives the probabilities of the next character. Places are told by turning queries and keys (J. Su
et al., arXiv:2104.09864).

It is measured in bits per character of a part of the text that it has not seen, and compared with
counting: how often each character followed the last k ones, mixed with the same for the last k - 1
of them, and so on (Witten-Bell smoothing; S. Chen and J. Goodman, 1999).

In the end it writes: one jitted `scan`, in which each character is drawn from the most probable
ones, and keys and values of all places behind are kept in a cache.

    python examples/char_transformer.py [--full]
"""

import argparse
from collections import Counter, defaultdict
from functools import partial
from math import log2
from pydoc_data.topics import topics

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import data, lax, losses, nn, optim, random, train

LENGTH = 128  # how many characters the model sees at most

# --- the text -------------------------------------------------------------------------------------


def load():
    """The text in two parts, to learn from and to be tested with."""
    paragraphs = "\n\n".join(topics.values()).split("\n\n")
    text = "\n\n".join(dict.fromkeys(paragraphs))  # some topics contain others
    split = len(text) * 19 // 20
    return text[:split], text[split:]


class Windows:
    """A source of pairs: the characters from some place on, and those that follow each of them."""

    def __init__(self, numbers, stride=1):
        self.numbers, self.stride = numbers, stride

    def __len__(self):
        return (len(self.numbers) - LENGTH - 1) // self.stride + 1

    def __getitem__(self, indices):
        places = np.asarray(indices)[:, None] * self.stride + np.arange(LENGTH)
        return self.numbers[places], self.numbers[places + 1]


def bits_by_counting(known, new, order, characters):
    """The bits per character of `new` that follow from how often characters followed others.

    p(c | h) = (n(h c) + d(h) p(c | h without its first)) / (n(h) + d(h)), where n counts in `known`
    and d(h) is the number of different characters that followed h.
    """
    followers = defaultdict(Counter)
    for end in range(order, len(known)):
        for start in range(end - order, end + 1):
            followers[known[start:end]][known[end]] += 1

    def probability(history, character):
        shorter = probability(history[1:], character) if history else 1 / characters
        counts = followers.get(history)
        if counts is None:
            return shorter
        return (counts[character] + len(counts) * shorter) / (counts.total() + len(counts))

    places = range(order, len(new))
    return -sum(log2(probability(new[i - order : i], new[i])) for i in places) / len(places)


# --- the model ------------------------------------------------------------------------------------


class CharTransformer(nn.Module):
    """From the numbers of characters to scores of the characters that follow."""

    embedding: nn.Embedding
    decoder: nn.TransformerDecoder
    output: nn.Dense

    def __init__(self, characters, layers, features, *, key):
        k1, k2, k3 = random.split(key, 3)
        self.embedding = nn.Embedding(characters, features, key=k1)
        self.decoder = nn.TransformerDecoder(
            layers, features, num_heads=4, rotary=nn.RotaryEmbedding(), key=k2
        )
        self.output = nn.Dense(features, characters, key=k3)

    def __call__(self, numbers, cache=None):
        x = self.embedding(numbers)
        if cache is None:
            return self.output(self.decoder(x))
        x, cache = self.decoder(x, cache=cache)
        return self.output(x), cache


@partial(ff.jit, static_argnames=("length", "top_k"))
def write(model, prompt, key, length, temperature=1.0, top_k=10):
    """`length` characters that follow a prompt, each drawn from the `top_k` most probable ones."""

    def step(carry, key):
        logits, cache = carry
        best, characters = lax.top_k(logits[:, -1], top_k)
        place = random.categorical(key, best / temperature)
        character = fnp.take_along_axis(characters, place[:, None], axis=1)
        return model(character, cache), character[:, 0]

    cache = model.decoder.init_cache(len(prompt), max_length=LENGTH)
    logits, cache = model(prompt, cache)
    _, written = lax.scan(step, (logits[:, -1:], cache), random.split(key, length))
    return written.T


# --- training -------------------------------------------------------------------------------------


def fit(numbers, characters, layers, features, batch, steps, rate):
    """A model that has learned from windows at random places."""
    schedule = optim.warmup_cosine_decay_schedule(0.0, rate, steps // 10, steps)
    model = CharTransformer(characters, layers, features, key=random.key(0))
    windows = data.from_source(Windows(numbers)).shuffle(random.key(1)).batch(batch)
    fitted = train.fit(
        model,
        windows.take(steps),
        loss=losses.softmax_cross_entropy_with_integer_labels,
        optimizer=optim.chain(optim.clip_by_global_norm(1.0), optim.adamw(schedule)),
        epochs=1,
        progress=False,
    )
    print(f"{nn.parameter_count(model)} parameters, {steps} steps")
    return fitted.model


def bits_by_model(model, numbers):
    """The bits per character that has at least half a window in front of it."""
    half = LENGTH // 2

    def loss(logits, characters):
        return losses.softmax_cross_entropy_with_integer_labels(
            logits[:, half:], characters[:, half:]
        )

    windows = data.from_source(Windows(numbers, stride=half)).batch(64, pad=True)
    return train.evaluate(model, windows, loss=loss)["loss"] / np.log(2)


def main(orders, lead, **settings):
    """The transformer must need fewer bits than counting of all these orders, by `lead`."""
    known, new = load()
    tokenizer = data.Tokenizer(char_level=True, lower=False).fit_on_texts([known, new])
    numbers, new_numbers = map(np.int32, tokenizer.texts_to_sequences([known, new]))
    characters = len(tokenizer.word_index) + 1

    print("bits per character\n")
    counting = [bits_by_counting(known, new, order, characters) for order in orders]
    for order, bits in zip(orders, counting, strict=True):
        print(f"after {order} characters  {bits:.3f}")
    model = fit(numbers, characters, **settings)
    bits = bits_by_model(model, new_numbers)
    print(f"transformer         {bits:.3f}\n")
    assert bits < min(counting) - lead, "the transformer has not learned to read"

    prompt = fnp.array(tokenizer.texts_to_sequences(["The statement "]))
    for temperature, top_k in ((0.5, 10), (1.0, 30), (1.0, 1)):
        written = write(model, prompt, random.key(2), 100, temperature, top_k)
        text = "".join(tokenizer.index_word[number] for number in written[0].tolist())
        print(f"temperature {temperature}, of the {top_k} most probable: {text!r}")

    whole = fnp.concatenate([prompt, written], axis=1)  # the most probable characters
    best = fnp.argmax(ff.jit(model)(whole), axis=-1)[:, prompt.shape[1] - 1 : -1]
    assert (best == written).all(), "with the cache it writes something else than without"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="2500 steps of batches of 16")
    if parser.parse_args().full:
        main(range(7), 0.05, layers=2, features=64, batch=16, steps=2500, rate=5e-3)
    else:
        main(range(2), 0.3, layers=2, features=64, batch=8, steps=150, rate=1e-2)
