"""Words of sounds, written down: connectionist temporal classification (CTC) of generated speech.

A word is a row of letters, each a sound of two tones, as vowels have two formants. How long they
last, their pitch and loudness are random, tones glide from one letter to the next, and there is
noise. Nothing tells the network where a letter begins. Windowed Fourier transforms give logarithms
of energies in bands that are spaced as ears hear (mel); two bidirectional layers of gated recurrent
units make scores of them for the letters and the blank, frame by frame, and the loss sums over all
alignments of frames and letters (A. Graves et al., "Connectionist Temporal Classification", 2006;
"Speech Recognition with Deep Recurrent Neural Networks", 2013, arXiv:1303.5778).

The whole way from random keys to features is one jitted function, so no word is heard twice with
the same voice. Results are measured by the letter error rate: how many insertions, deletions and
substitutions lead from what was recognised to what was said, for each letter said. It is given for
words that were said in training, with new voices, and for words that were not.

    python examples/ctc_speech.py [--full]
"""

import argparse

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import data, losses, nn, optim, random, train

LETTERS = "aeioumnslr"  # number 0 is the blank
FORMANTS = np.array(  # Hz
    [
        [730, 1090], [530, 1840], [390, 1990], [570, 840], [440, 1020],
        [280, 900], [280, 1450], [2500, 3500], [360, 1300], [490, 1350],
    ]
)  # fmt: skip
RATE = 8000  # samples a second
WINDOW, HOP = 256, 160  # samples: 32 ms, every 20 ms
BANDS = 24
LETTERS_AT_MOST, FRAMES = 6, 48
SAMPLES = FRAMES * HOP + WINDOW

# --- sounds ---------------------------------------------------------------------------------------


def speak(key, word, noise):
    """The sound of a row of numbers of letters, and how many samples it has.

    A letter has a weight between its start and its end, with soft edges. The frequency of a tone is
    the mean of the letters' formants by their weights, its phase the integral of the frequency.
    """
    k1, k2, k3, k4, k5 = random.split(key, 5)
    speed, pitch = fnp.exp(random.uniform(k1, (2,), minval=-0.1, maxval=0.1))
    lengths = random.uniform(k2, word.shape, minval=0.07, maxval=0.14) / speed * (word > 0)
    ends = fnp.cumsum(lengths)
    times = fnp.arange(SAMPLES) / RATE
    rise = (times - (ends - lengths)[:, None]) / 0.008
    fall = (ends[:, None] - 0.025 - times) / 0.008
    weights = nn.sigmoid(rise) * nn.sigmoid(fall) * (word > 0)[:, None]
    loudness = random.uniform(k3, word.shape, minval=0.4, maxval=1.0)
    formants = fnp.asarray(FORMANTS, fnp.float32)[word - 1]
    frequencies = pitch * (formants.T @ weights) / (weights.sum(0) + 1e-6)
    phases = random.uniform(k4, (2, 1), maxval=2 * fnp.pi)
    waves = fnp.sin(2 * fnp.pi * fnp.cumsum(frequencies, axis=1) / RATE + phases)
    tones = (loudness @ weights) * (fnp.array([1.0, 0.6]) @ waves)
    return tones + noise * random.normal(k5, (SAMPLES,)), ends[-1] * RATE


def mel_filters():
    """Triangles over frequencies, all of one width in mel: (frequencies, bands)."""
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
def heard(key, words, noise):
    """Features of words in as many voices, numbers of frames, and the words."""

    def hear(key, word):
        sound, samples = speak(key, word, noise)
        return features(sound), fnp.ceil(samples / HOP).astype(fnp.int32)

    frames, lengths = ff.vmap(hear)(random.split(key, len(words)), words)
    return frames, lengths, words


def heard_anyhow(key, words):
    """The same in noise of random strength."""
    key, drawn = random.split(key)
    return heard(key, words, random.uniform(drawn, minval=0.1, maxval=0.8))


def lexicon(key):
    """Different words of random letters in random order, padded with 0."""
    k1, k2, k3 = random.split(key, 3)
    lengths = random.randint(k1, (1000, 1), 2, LETTERS_AT_MOST + 1)
    letters = random.randint(k2, (1000, LETTERS_AT_MOST), 1, len(LETTERS) + 1)
    words = np.unique(fnp.where(fnp.arange(LETTERS_AT_MOST) < lengths, letters, 0), axis=0)
    return np.asarray(random.permutation(k3, words))


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
    """Which frames do not count."""
    return fnp.arange(FRAMES) >= lengths[:, None]


def objective(model, batch):
    """The loss of a letter, averaged over all letters of the batch."""
    frames, lengths, words = batch
    logits = model(frames, lengths)
    loss = losses.ctc_loss(logits, paddings(lengths), words, words == 0)
    return fnp.sum(loss) / fnp.sum(words > 0), logits


# --- letter error rate ----------------------------------------------------------------------------


def spelled(numbers):
    """The letters of some numbers."""
    return "".join(LETTERS[n - 1] for n in numbers if n > 0)


def distance(a, b):
    """How many insertions, deletions and substitutions lead from one sequence to another."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]


def recognised(model, batch):
    """The rate, and pairs of what was said and what was recognised."""
    frames, lengths, words = batch
    logits = ff.jit(model)(frames, lengths)
    decoded, _ = losses.ctc_greedy_decode(logits, paddings(lengths))
    said, found = ([spelled(row) for row in rows.tolist()] for rows in (words, decoded))
    pairs = list(zip(said, found, strict=True))
    return sum(distance(*pair) for pair in pairs) / sum(map(len, said)), pairs


def main(epochs, bounds):
    """Learn to recognise words; `bounds` are those of the error rates, for strengths of noise."""
    words = lexicon(random.key(0))
    known, new = words[200:], words[:200]
    print(f"{len(known)} words to learn from, {len(new)} to be tested with")
    dataset = data.from_arrays(known).shuffle(random.key(1)).batch(32, drop_remainder=True)
    rate = optim.cosine_decay_schedule(0.01, epochs * len(dataset))
    fitted = train.fit(
        Recogniser(64, key=random.key(2)),
        dataset.map(heard_anyhow, random.key(3)),
        objective=objective,
        optimizer=optim.chain(optim.clip_by_global_norm(1.0), optim.adam(rate)),
        epochs=epochs,
        progress=False,
    )
    print("loss of a letter, epoch by epoch:", *(f"{x:.2f}" for x in fitted.history["loss"]))

    print("\nletter error rate   known words   new words")
    for noise, bound in bounds.items():
        sets = ((random.key(4), known), (random.key(5), new))
        rates, pairs = zip(
            *(recognised(fitted.model, heard(key, words, noise)) for key, words in sets),
            strict=True,
        )
        print(f"noise {noise:11.2f}", *(f"{rate:13.1%}" for rate in rates))
        assert max(rates) < bound, "the network does not understand"
    print("\nnew words in the strongest noise:", *(" -> ".join(p) for p in pairs[1][:6]), sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="60 epochs instead of 8")
    if parser.parse_args().full:
        main(60, {0.2: 0.025, 0.4: 0.015, 0.8: 0.08})
    else:
        main(8, {0.2: 0.06, 0.4: 0.06, 0.8: 0.15})
