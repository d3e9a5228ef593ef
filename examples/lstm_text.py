"""An LSTM reads docstrings: which part of Python's standard library does a paragraph belong to?

The paragraphs of the docstrings of six groups of modules, as many of each, are the texts; they lie
on the disk of whoever runs Python. A `Tokenizer` makes numbers of words, and `pad_sequences` an
array of them, in which 0 stands for no word: the mask of the layer of long short-term memory
(S. Hochreiter and J. Schmidhuber, 1997). Words that are rare among the training texts share one
number, and a part of each embedding is dropped in training, as there are few texts. The training
ends when it gets no better on held-out texts.

It is compared with a bag of words: logistic regression of how often each word occurs, weighed by
rarity (tf-idf). That sees no order, which says little about a subject, and so needs fewer texts. A
second question is what it cannot answer, having the same bag twice: were the words of a paragraph
shuffled?

    python examples/lstm_text.py [--full]
"""

import argparse
import re
import sysconfig
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from funcflow import data, losses, nn, optim, random, train

GROUPS = {
    "files": "_pyio fileinput glob gzip lzma os pathlib shutil tarfile tempfile zipfile",
    "mail": "email imaplib mailbox poplib smtplib",
    "numbers": "_pydecimal calendar datetime fractions numbers random statistics",
    "tasks": "asyncio concurrent multiprocessing queue sched subprocess threading",
    "web": "html http ipaddress socketserver ssl urllib wsgiref xmlrpc",
    "windows": "tkinter turtle",
}
WORDS = 2000  # how many numbers there are: no word, a rare word, and the most frequent ones
LENGTH = 32  # words of a paragraph that are read

# --- texts ----------------------------------------------------------------------------------------


def sources(module):
    """The files of a module or package of the standard library."""
    path = Path(sysconfig.get_path("stdlib")) / module
    return sorted(path.rglob("*.py")) if path.is_dir() else path.parent.glob(f"{module}.py")


def paragraphs(modules):
    """The prose in the docstrings of some modules: lists of words, each once."""
    found = {}
    for module in modules.split():
        for file in sources(module):
            for docstring in re.findall(r'"""(.*?)"""', file.read_text("utf-8"), re.DOTALL):
                for paragraph in re.split(r"\n\s*\n", docstring):
                    words = tuple(re.findall("[a-z]+", paragraph.lower()))
                    if len(words) > 5 and ">>>" not in paragraph:
                        found[words] = None
    return list(found)


def load(key):
    """All texts, as many of each group, in random order, and the numbers of their groups."""
    groups = [paragraphs(modules) for modules in GROUPS.values()]
    count = min(map(len, groups))
    keys = random.split(key, len(groups) + 1)
    texts = [
        group[i]
        for group, key in zip(groups, keys, strict=False)
        for i in random.permutation(key, len(group))[:count].tolist()
    ]
    labels = np.repeat(np.arange(len(groups)), count)
    order = np.asarray(random.permutation(keys[-1], len(texts)))
    return [texts[i] for i in order], labels[order]


# --- models ---------------------------------------------------------------------------------------


class Reader(nn.Module):
    """The state of an LSTM behind the last word, and a score for each class made of it."""

    embedding: nn.Embedding
    lstm: nn.LSTM
    output: nn.Dense
    dropout: nn.Dropout

    def __init__(self, classes, *, key):
        k1, k2, k3 = random.split(key, 3)
        self.embedding = nn.Embedding(
            WORDS, 100, embedding_init=nn.initializers.normal(0.1), key=k1
        )
        self.lstm = nn.LSTM(100, 100, return_sequences=False, key=k2)
        self.output = nn.Dense(100, classes, key=k3)
        self.dropout = nn.Dropout(0.5)

    def __call__(self, numbers):
        vectors = self.dropout(self.embedding(numbers))
        return self.output(self.dropout(self.lstm(vectors, mask=numbers > 0)))


def accuracy_of_bag(tokenizer, texts, labels, new_texts, new_labels):
    """The accuracy of logistic regression, which sees how often words occur."""
    bags, new_bags = (
        normalize(tokenizer.texts_to_matrix(t, mode="tfidf")) for t in (texts, new_texts)
    )
    return LogisticRegression(max_iter=1000).fit(bags, labels).score(new_bags, new_labels)


def accuracy_of_lstm(tokenizer, texts, labels, new_texts, new_labels, epochs, key):
    """The accuracy of the LSTM, trained until an eighth of the texts says that it is enough."""
    inputs, new_inputs = (
        data.pad_sequences(tokenizer.texts_to_sequences(t), LENGTH, padding="post")
        for t in (texts, new_texts)
    )
    k1, k2, k3, k4 = random.split(key, 4)
    seen, held_out = data.train_test_split((inputs, labels), 0.125, key=k1)
    accuracy = {"accuracy": train.metrics.accuracy()}
    fitted = train.fit(
        Reader(labels.max() + 1, key=k2),
        data.from_source(seen).shuffle(k3).batch(32, drop_remainder=True),
        loss=losses.softmax_cross_entropy_with_integer_labels,
        optimizer=optim.adam(5e-3),
        epochs=epochs,
        validation=data.from_source(held_out).batch(64, pad=True),
        metrics=accuracy,
        callbacks=[train.EarlyStopping("val_accuracy", mode="max", patience=3, restore_best=True)],
        key=k4,
        progress=False,
    )
    print(f"{len(fitted.history)} epochs, held-out accuracies", end=" ")
    print(*(f"{x:.3f}" for x in fitted.history["val_accuracy"]))
    scores = train.predict(fitted.model, new_inputs, batch_size=len(new_inputs))
    return accuracy["accuracy"](scores, new_labels)


def with_shuffled(texts, key):
    """The texts and the same with their words in random order, and which of both each is."""
    keys = random.split(key, len(texts))
    shuffled = [
        [text[i] for i in random.permutation(key, len(text)).tolist()]
        for text, key in zip(texts, keys, strict=True)
    ]
    return texts + shuffled, np.repeat([0, 1], len(texts))


def main(epochs, behind, order):
    """Ask both questions; the LSTM may be `behind` the bag, and must know the `order` so often."""
    texts, labels = load(random.key(0))
    count = len(texts) // 5
    new, known = texts[:count], texts[count:]
    tokenizer = data.Tokenizer(WORDS, oov_token="?").fit_on_texts(known)
    print(f"{len(known)} paragraphs to learn from, {count} to be tested with")
    which = known, labels[count:], new, labels[:count]
    shuffled = (*with_shuffled(known, random.key(1)), *with_shuffled(new, random.key(2)))
    bags, lstms = [], []
    for parts in (which, shuffled):
        bags.append(accuracy_of_bag(tokenizer, *parts))
        lstms.append(accuracy_of_lstm(tokenizer, *parts, epochs, random.key(3)))

    print("accuracy                 bag of words   LSTM")
    for question, bag, lstm in zip(("which of 6 groups?", "shuffled?"), bags, lstms, strict=True):
        print(f"{question:24} {bag:11.1%} {lstm:7.1%}")
    assert lstms[0] > bags[0] - behind, "the LSTM has not learned the subjects"
    assert bags[1] == 0.5, "a bag of words has an order"
    assert lstms[1] > order, "the LSTM has not learned the order of words"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="20 epochs instead of 3")
    if parser.parse_args().full:
        main(epochs=20, behind=0.08, order=0.83)
    else:
        main(epochs=3, behind=0.12, order=0.75)
