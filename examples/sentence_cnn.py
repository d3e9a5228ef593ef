"""A sentence and its subject: a convolutional network above word vectors that it did not learn.

Y. Kim, "Convolutional Neural Networks for Sentence Classification" (2014), arXiv:1408.5882: filters
that are 3, 4 and 5 words wide slide over the vectors of a sentence's words, the maximum over time
says how well each fits anywhere, and an affine map makes scores of that. Sentences are those of
SciPy's docstrings, classes the sub-packages that they come from; few have a label. All make the
word vectors: words which occur in the company of the same words are alike, so the matrix of
positive pointwise mutual information of neighbours, log(p(a, b) / (p(a) p(b))) where that is
positive, is reduced to 100 columns (O. Levy and Y. Goldberg, 2014).

In the paper's "multichannel" model each filter is applied to two tables of these vectors, one of
which stays as it is while the other is learned, and the results are added. Convolutions are linear,
so they see the sum of both tables here. It is compared with the model that begins with random
vectors, and with logistic regression of how often each word occurs.

    python examples/sentence_cnn.py [--full]
"""

import argparse
import re
from pathlib import Path

import numpy as np
import scipy
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

import funcflow.numpy as fnp
from funcflow import data, losses, nn, optim, random, train

CLASSES = ("interpolate", "linalg", "optimize", "signal", "sparse", "spatial", "stats")
WORDS = 2000  # how many numbers there are: no word, a rare word, and the most frequent ones
LENGTH = 40  # words of a sentence
FEATURES = 100  # of a word
TESTED = 200  # sentences of each class that are not learned from

# --- sentences ------------------------------------------------------------------------------------


def sentences(package):
    """The sentences of the docstrings of one of SciPy's packages: strings of words, each once."""
    found = {}
    for file in sorted((Path(scipy.__file__).parent / package).rglob("*.py")):
        if "tests" in file.parts:
            continue
        for docstring in re.findall(r'"""(.*?)"""', file.read_text("utf-8"), re.DOTALL):
            for paragraph in re.split(r"\n\s*\n", docstring):
                if not re.search(r">>>|---|::|\.\. | : |`:", paragraph):
                    for sentence in re.split(r"(?<=[.?!])\s+(?=[A-Z])", paragraph):
                        words = re.findall("[a-z]+", sentence.lower())
                        if 8 <= len(words) <= LENGTH:
                            found[" ".join(words)] = None
    return list(found)


def load(key):
    """Lists of the sentences of each class to learn from, and of those to be tested with."""
    known, new = [], []
    for name, drawn in zip(CLASSES, random.split(key, len(CLASSES)), strict=True):
        found = sentences(name)
        order = [found[i] for i in random.permutation(drawn, len(found)).tolist()]
        new.append(order[:TESTED])
        known.append(order[TESTED:])
    return known, new


def with_labels(groups, count):
    """`count` sentences of each class, one class after the other, and the numbers of classes."""
    texts = [sentence for group in groups for sentence in group[:count]]
    return texts, np.repeat(np.arange(len(groups)), count)


def word_vectors(numbers):
    """A table of vectors that say in whose company words are: the rows of `numbers` have words."""
    counts = np.zeros((WORDS, WORDS))
    for distance in range(1, 6):
        np.add.at(counts, (numbers[:, :-distance], numbers[:, distance:]), 1 / distance)
    counts[:2] = counts[:, :2] = 0  # no word, or any rare word
    counts += counts.T
    often = counts.sum(0, keepdims=True) + 1e-9
    ratio = counts * often.sum() / (often * often.T)
    positive = np.log(np.maximum(ratio, 1))
    vectors = TruncatedSVD(FEATURES, random_state=0).fit_transform(positive)
    return np.float32(0.25 * vectors / vectors.std())


# --- the network ----------------------------------------------------------------------------------


class SentenceCNN(nn.Module):
    """Filters above the sum of word vectors of several tables."""

    tables: tuple[nn.Embedding, ...]
    filters: tuple[nn.Conv1d, ...]
    pool: nn.GlobalMaxPool1d
    dropout: nn.Dropout
    output: nn.Dense

    def __init__(self, tables, *, key):
        *keys, last = random.split(key, 4)
        self.tables = tables
        self.filters = tuple(
            nn.Conv1d(FEATURES, 100, width, padding="VALID", key=k)
            for width, k in zip((3, 4, 5), keys, strict=True)
        )
        self.pool = nn.GlobalMaxPool1d()
        self.dropout = nn.Dropout(0.5)
        self.output = nn.Dense(300, len(CLASSES), key=last)

    def __call__(self, numbers):
        vectors = sum(table(numbers) for table in self.tables) * (numbers > 0)[..., None]
        features = [self.pool(nn.relu(convolve(vectors))) for convolve in self.filters]
        return self.output(self.dropout(fnp.concatenate(features, axis=-1)))


def models(vectors, key):
    """The models of the paper, and which of their tables are not learned."""
    of_table, of_model = random.split(key)
    uniform = nn.initializers.uniform(0.5)
    drawn = nn.Embedding(
        WORDS, FEATURES, embedding_init=lambda *args: uniform(*args) - 0.25, key=of_table
    )
    made = nn.tree_at(lambda m: m.embedding, drawn, fnp.asarray(vectors))
    return {
        "random": (SentenceCNN((drawn,), key=of_model), ()),
        "multichannel": (SentenceCNN((made, made), key=of_model), (0,)),
        "static": (SentenceCNN((made,), key=of_model), (0,)),
        "non-static": (SentenceCNN((made,), key=of_model), ()),
    }


def accuracy_of_cnn(model, frozen, known, new, epochs, key):
    """The accuracy of a model after training, in which the tables of the numbers `frozen` stay."""
    of_order, of_dropout = random.split(key)
    parameters = nn.trainable(model)
    for number in frozen:
        parameters = nn.tree_at(lambda m, i=number: m.tables[i], parameters, False)
    fitted = train.fit(
        model,
        data.from_arrays(known).shuffle(of_order).batch(50, drop_remainder=True),
        loss=losses.softmax_cross_entropy_with_integer_labels,
        optimizer=optim.adam(1e-3),
        epochs=epochs,
        trainable=parameters,
        key=of_dropout,
        progress=False,
    )
    for number, (old, table) in enumerate(zip(model.tables, fitted.model.tables, strict=True)):
        assert (old.embedding == table.embedding).all() == (number in frozen)
    sentences, labels = new
    scores = train.predict(fitted.model, sentences, batch_size=100)
    return train.metrics.accuracy()(scores, labels)


def accuracy_of_bag(tokenizer, known, new):
    """The accuracy of logistic regression, which sees how often words occur."""
    (texts, labels), (new_texts, new_labels) = known, new
    bags, new_bags = (
        normalize(tokenizer.texts_to_matrix(t, mode="tfidf")) for t in (texts, new_texts)
    )
    return LogisticRegression(C=10, max_iter=1000).fit(bags, labels).score(new_bags, new_labels)


def main(names, leads, epochs):
    """Compare models for some numbers of labelled sentences of each class.

    `epochs` are those for 100 of them; for others the number of steps is the same. `leads` says for
    each number by how much the multichannel model must be better than a bag.
    """
    known, new = load(random.key(0))
    texts = [sentence for group in known for sentence in group]
    tokenizer = data.Tokenizer(WORDS, oov_token="?").fit_on_texts(texts)

    def numbers(texts):
        return data.pad_sequences(tokenizer.texts_to_sequences(texts), LENGTH, padding="post")

    vectors = word_vectors(numbers(texts))
    directions = normalize(vectors)
    for word in ("matrix", "probability", "filter"):
        likeness = directions @ directions[tokenizer.word_index[word]]
        nearest = np.argsort(-likeness)[1:6].tolist()
        print(f"near {word}:", *tokenizer.sequences_to_texts([nearest]))

    built = models(vectors, random.key(1))
    new_texts, new_labels = with_labels(new, TESTED)
    print("\nlabelled   bag of words", *(f"{name:>13}" for name in names))
    for count, lead in leads.items():
        texts, labels = with_labels(known, count)
        bag = accuracy_of_bag(tokenizer, (texts, labels), (new_texts, new_labels))
        arrays = (numbers(texts), labels), (numbers(new_texts), new_labels)
        found = {
            name: accuracy_of_cnn(*built[name], *arrays, epochs * 100 // count, random.key(2))
            for name in names
        }
        print(f"{count:8} {bag:14.1%}", *(f"{accuracy:13.1%}" for accuracy in found.values()))
        assert found["multichannel"] > found["random"] + 0.04, "the vectors do not help"
        assert found["multichannel"] > bag + lead, "the network has not learned the subjects"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="all models, several numbers of labels")
    if parser.parse_args().full:
        names = ("random", "multichannel", "static", "non-static")
        main(names, {25: 0.04, 50: 0.0, 100: -0.05, 200: -0.06}, epochs=15)
    else:
        main(("random", "multichannel"), {100: -0.06}, epochs=10)
