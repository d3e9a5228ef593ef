"""Words of sounds, written down: connectionist temporal classification (CTC) of generated speech.

A word is a row of letters, each a sound of two tones, as vowels have two formants. How long they
last, their pitch, loudness and glides from one to the next are random, and there is noise. Nothing
tells the network where a letter begins. Windowed Fourier transforms give the logarithms of energies
in bands that are spaced as ears hear (mel); two bidirectional layers of gated recurrent units give
each frame's scores for the letters and the blank, and the loss sums over all alignments (A. Graves
et al., 2006, and "Speech Recognition with Deep Recurrent Neural Networks", 2013, arXiv:1303.5778).

Measured is the letter error rate: how many insertions, deletions and substitutions lead from what
was recognised to what was said, for each letter said; of words that were said in training, by a new
voice, and of words that were not.

    python examples/ctc_speech.py [--full]
"""

import argparse
from functools import partial

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import data, lax, losses, nn, optim, random, train

LETTERS = "aeioumnslr"  # number 0 is the blank
FORMANTS = np.array(  # Hz
    [
        [730, 1090], [530, 1840], [390, 1990], [570, 840], [440, 1020],
        [280, 900], [280, 1450], [2500, 3500], [360, 1300], [490, 1350],
    ]
)  # fmt: skip
RATE = 8000  # samples a second
WINDOW, HOP = 256, 128  # samples: 32 ms, every 16 ms
BANDS = 24
MOST_LETTERS, MOST_FRAMES = 6, 64

# --- sounds ---------------------------------------------------------------------------------------


def speak(key, word):
    """The sound of a word, and how many samples it has: for one row of numbers of letters.

    Letter i counts from its start to its end, with soft edges. The frequency of a tone is the mean
    of the letters' formants by these weights, so it glides, and its phase is the integral of it.
    """
    k1, k2, k3, k4, k5 = random.split(key, 5)
    speed, pitch = fnp.exp(random.uniform(k1, (2,), minval=-0.1, maxval=0.1))
    lengths = random.uniform(k2, word.shape, minval=0.06, maxval=0.14) / speed * (word > 0)
    ends = fnp.cumsum(lengths)
    times = fnp.arange(SAMPLES) / RATE
    rise = (times - (ends - lengths)[:, None]) / 0.008
    fall = (ends[:, None] - 0.015 - times) / 0.008
    weights = nn.sigmoid(rise) * nn.sigmoid(fall) * (word > 0)[:, None]
    loudness = random.uniform(k3, word.shape, minval=0.4, maxval=1.0)
    formants = fnp.asarray(FORMANTS, fnp.float32)[word - 1]
    frequencies = pitch * (formants.T @ weights) / (weights.sum(0) + 1e-6)
    phases = random.uniform(k4, (2, 1), maxval=2 * fnp.pi)
    waves = fnp.sin(2 * fnp.pi * fnp.cumsum(frequencies, axis=1) / RATE + phases)
    sound = (loudness @ weights) * (fnp.array([1.0, 0.6]) @ waves)
    noise = NOISE * random.normal(k5, (SAMPLES,))
    return sound + noise, ends[-1] * RATE


def mel_filters():
    """Triangles over the frequencies of the transform, equally wide in mel: (frequencies, bands)."""
    mel = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), BANDS + 2)
    corners = 700 * (10 ** (mel / 2595) - 1)
    low, center, high = corners[:-2], corners[1:-1], corners[2:]
    frequencies = np.fft.rfftfreq(WINDOW, 1 / RATE)[:, None]
    rising = (frequencies - low) / (center - low)
    falling = (high - frequencies) / (high - center)
    return np.float32(np.maximum(0, np.minimum(rising, falling)))


def features(sound):
    """The logarithms of energies in bands, frame by frame: (frames, bands)."""
    places = HOP * fnp.arange(FRAMES)[:, None] + fnp.arange(WINDOW)
    spectrum = fnp.fft.rfft(sound[places] * np.float32(np.hanning(WINDOW)))
    energies = (spectrum.real**2 + spectrum.imag**2) @ mel_filters()
    return fnp.log(energies + 1e-3) / 3


@ff.jit
def heard(key, words):
    """Features of a batch of words in as many voices, their numbers of frames, and the words."""

    def hear(key, word):
        sound, samples = speak(key, word)
        return features(sound), fnp.ceil(samples / HOP).astype(fnp.int32)

    frames, lengths = ff.vmap(hear)(random.split(key, len(words)), words)
    return frames, lengths, words


def lexicon(count, key):
    """Different words of random letters, padded with 0, in random order."""
    k1, k2 = random.split(key)
    lengths = random.randint(k1, (count, 1), 2, MOST_LETTERS + 1)
    letters = random.randint(k2, (count, MOST_LETTERS), 1, len(LETTERS) + 1)
    words = np.unique(np.where(np.arange(MOST_LETTERS) < lengths, letters, 0), axis=0)
    return np.random.default_rng(0).permutation(words)


# --- the recogniser -------------------------------------------------------------------------------


class Recogniser(nn.Module):
    """Scores of the blank and the letters for each frame."""

    norm: nn.LayerNorm
    layers: nn.GRU
    output: nn.Dense

    def __init__(self, width, *, key):
        k1, k2 = random.split(key)
        self.norm = nn.LayerNorm(BANDS)
        self.layers = nn.GRU(BANDS, width, num_layers=2, bidirectional=True, key=k1)
        self.output = nn.Dense(2 * width, 1 + len(LETTERS), key=k2)

    def __call__(self, frames, lengths):
        return self.output(self.layers(self.norm(frames), lengths=lengths))


def paddings(lengths):
    return fnp.arange(FRAMES) >= lengths[:, None]


def objective(model, batch):
    """The mean loss of a letter."""
    frames, lengths, words = batch
    logits = model(frames, lengths)
    loss = losses.ctc_loss(logits, paddings(lengths), words, words == 0)
    return fnp.sum(loss) / fnp.sum(words > 0), logits


def distance(a, b):
    """How many insertions, deletions and substitutions lead from one sequence to another."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]


def spelled(numbers):
    return "".join(LETTERS[n - 1] for n in numbers if n > 0)


def letter_error_rate(model, batch):
    """The rate, and a few pairs of what was said and what was recognised."""
    frames, lengths, words = batch
    decoded, _ = losses.ctc_greedy_decode(ff.jit(model)(frames, lengths), paddings(lengths))
    pairs = [
        (spelled(w), spelled(d)) for w, d in zip(words.tolist(), decoded.tolist(), strict=True)
    ]
    return sum(distance(*p) for p in pairs) / sum(len(w) for w, _ in pairs), pairs[:8]


FRAMES = 48
import os

NOISE = float(os.environ.get("N", 0.5))
HOP = 160
SAMPLES = FRAMES * HOP + WINDOW
import os


def main():
    import time

    t = time.time()
    words = lexicon(1000, random.key(0))
    known, new = words[:-200], words[-200:]
    print(len(known), len(new), spelled(known[0]))
    f, l, w = heard(random.key(1), known[:32])
    print(f.shape, f.mean(), f.std(), l, time.time() - t)
    fitted = train.fit(
        Recogniser(int(os.environ.get("W", 64)), key=random.key(2)),
        data.from_arrays(known)
        .shuffle(random.key(3))
        .batch(32, drop_remainder=True)
        .map(heard, random.key(4)),
        objective=objective,
        optimizer=optim.chain(
            optim.clip_by_global_norm(1.0), optim.adam(float(os.environ.get("R", 5e-3)))
        ),
        epochs=int(os.environ.get("E", 8)),
        progress=False,
        callbacks=[P()],
    )
    print(time.time() - t)
    for x in known[:200], new:
        print(letter_error_rate(fitted.model, heard(random.key(5), x)))
    print(time.time() - t)


class P(train.Callback):
    def on_epoch_end(self, run):
        print(run.logs)


main()
