"""Words as numbers, by how often they occur."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from funcflow.core.errors import ArgumentError, DataFormatError

FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
MODES = ("binary", "count", "tfidf", "freq")

Text = str | Sequence[str]  # a text, or its words


def text_to_word_sequence(
    input_text: str, filters: str = FILTERS, lower: bool = True, split: str = " "
) -> list[str]:
    """The words of a text; names and meanings are those of Keras.

    Args:
        input_text: a text.
        filters: characters that separate words, too.
        lower: whether to convert to lower case.
        split: what separates words.

    Example:
        >>> ff.data.text_to_word_sequence("To be, or not to be?")
        ['to', 'be', 'or', 'not', 'to', 'be']
    """
    text = input_text.lower() if lower else input_text
    separated = text.translate(str.maketrans(dict.fromkeys(filters, split)))
    return [word for word in separated.split(split) if word]


@dataclass(frozen=True)
class Tokenizer:
    """Words as numbers: 1 for the most frequent one, then 2, and so on; 0 stands for no word.

    Names and meanings are those of Keras, but it is a value: `fit_on_texts` returns the fitted one.

    Args:
        num_words: use numbers below this one only, so that the `num_words - 1` most frequent words
            are known; None for all.
        filters: characters that separate words, too.
        lower: whether to convert texts to lower case.
        split: what separates words.
        char_level: whether each character is a word.
        oov_token: what stands for words that are not known, as number 1; without it they are left
            out.
        document_count: how many texts it has seen.
        word_counts: how often each word occurred, in the order of their first occurrences.
        word_docs: in how many texts each word occurred.

    Example:
        >>> texts = ["the cat sat on the mat", "the dog"]
        >>> tokenizer = ff.data.Tokenizer(oov_token="?").fit_on_texts(texts)
        >>> tokenizer.texts_to_sequences(["The cat saw the dog."])
        [[2, 3, 1, 2, 7]]
        >>> tokenizer.sequences_to_texts([[2, 7]])
        ['the dog']
    """

    num_words: int | None = None
    filters: str = FILTERS
    lower: bool = True
    split: str = " "
    char_level: bool = False
    oov_token: str | None = None
    document_count: int = 0
    word_counts: Mapping[str, int] = field(default_factory=dict, hash=False)
    word_docs: Mapping[str, int] = field(default_factory=dict, hash=False)

    # --- what is known --------------------------------------------------------------------------

    def fit_on_texts(self, texts: Iterable[Text]) -> "Tokenizer":
        """A tokenizer that knows the words of these texts, too.

        Args:
            texts: texts, or lists of words.

        Raises:
            ArgumentError: `texts` is a single text.
        """
        counts, docs = Counter(self.word_counts), Counter(self.word_docs)
        seen = 0
        for words in self._split_all("fit_on_texts", texts):
            seen += 1
            counts.update(words)
            docs.update(set(words))
        return replace(
            self,
            document_count=self.document_count + seen,
            word_counts=dict(counts),
            word_docs=dict(docs),
        )

    @cached_property
    def word_index(self) -> dict[str, int]:
        """The number of each word, also of those from `num_words` on."""
        by_count = sorted(self.word_counts, key=self.word_counts.__getitem__, reverse=True)
        first = [] if self.oov_token is None else [self.oov_token]
        return {word: number for number, word in enumerate(first + by_count, start=1)}

    @cached_property
    def index_word(self) -> dict[int, str]:
        """The word of each number."""
        return {number: word for word, number in self.word_index.items()}

    @cached_property
    def index_docs(self) -> dict[int, int]:
        """In how many texts the word of each number occurred."""
        return {self.word_index[word]: count for word, count in self.word_docs.items()}

    # --- there and back -------------------------------------------------------------------------

    def texts_to_sequences(self, texts: Iterable[Text]) -> list[list[int]]:
        """The numbers of the words of each text.

        Raises:
            ArgumentError: the tokenizer is not fitted, or `texts` is a single text.
        """
        self._check_fitted("texts_to_sequences")
        numbers = [
            [self._number(word) for word in words]
            for words in self._split_all("texts_to_sequences", texts)
        ]
        return [[n for n in sequence if n is not None] for sequence in numbers]

    def sequences_to_texts(self, sequences: Iterable[Iterable[int]]) -> list[str]:
        """The words of each sequence of numbers, with spaces between them.

        Raises:
            ArgumentError: the tokenizer is not fitted.
        """
        self._check_fitted("sequences_to_texts")
        words = [[self._word(int(number)) for number in sequence] for sequence in sequences]
        return [" ".join(w for w in text if w is not None) for text in words]

    def _number(self, word: str) -> int | None:
        number = self.word_index.get(word)
        return number if self._is_kept(number) else self._oov_number

    def _word(self, number: int) -> str | None:
        return self.index_word.get(number if self._is_kept(number) else self._oov_number or 0)

    def _is_kept(self, number: int | None) -> bool:
        known = number in self.index_word
        return known and (self.num_words is None or number < self.num_words)

    @property
    def _oov_number(self) -> int | None:
        return None if self.oov_token is None else self.word_index[self.oov_token]

    # --- matrices -------------------------------------------------------------------------------

    def texts_to_matrix(
        self,
        texts: Iterable[Text],
        mode: Literal["binary", "count", "tfidf", "freq"] = "binary",
    ) -> np.ndarray:
        """A row of one number for each word, for each text. See `sequences_to_matrix`."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(
        self,
        sequences: Sequence[Sequence[int]],
        mode: Literal["binary", "count", "tfidf", "freq"] = "binary",
    ) -> np.ndarray:
        """A row of one number for each word, for each sequence of numbers of words.

        Args:
            sequences: n lists of numbers.
            mode: what to say of a word that occurs c times:
                "binary": 1;
                "count": c;
                "freq": c divided by the length of the sequence;
                "tfidf": `(1 + log(c)) * log(1 + texts / (1 + texts with the word))`, counted over
                the texts that the tokenizer was fitted to.

        Returns:
            A NumPy array, float32 of shape (n, num_words), with one more column than there are
            words if `num_words` is None; column 0 belongs to no word.

        Raises:
            ArgumentError: the tokenizer is not fitted, or there is no such mode.
        """
        self._check_fitted("sequences_to_matrix")
        if mode not in MODES:
            raise ArgumentError(f"sequences_to_matrix: mode={mode!r}", mend=f"use one of {MODES}")
        width = len(self.word_index) + 1 if self.num_words is None else self.num_words
        matrix = np.zeros((len(sequences), width), np.float32)
        for row, sequence in zip(matrix, sequences, strict=True):
            for number, count in Counter(sequence).items():
                if number < width:
                    row[number] = self._weight(mode, number, count, len(sequence))
        return matrix

    def _weight(self, mode: str, number: int, count: int, length: int) -> float:
        if mode == "binary":
            return 1
        if mode == "count":
            return count
        if mode == "freq":
            return count / length
        rarity = math.log(1 + self.document_count / (1 + self.index_docs.get(number, 0)))
        return (1 + math.log(count)) * rarity

    # --- to keep it -----------------------------------------------------------------------------

    def to_json(self) -> str:
        """The tokenizer as text, in the form of Keras."""
        derived = {
            "index_docs": self.index_docs,
            "index_word": self.index_word,
            "word_index": self.word_index,
        }
        config = asdict(self) | derived
        texts = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in config.items()}
        return json.dumps({"class_name": "Tokenizer", "config": texts})

    @classmethod
    def from_json(cls, text: str) -> "Tokenizer":
        """The tokenizer that `to_json` wrote, here or in Keras.

        Raises:
            DataFormatError: the text is none.

        Example:
            >>> tokenizer = ff.data.Tokenizer().fit_on_texts(["to be or not to be"])
            >>> ff.data.Tokenizer.from_json(tokenizer.to_json()) == tokenizer
            True
        """
        try:
            config = json.loads(text)["config"]
            counts, docs = json.loads(config["word_counts"]), json.loads(config["word_docs"])
            settings = {name: config[name] for name in _SETTINGS}
            return cls(
                **settings,
                word_counts={str(word): int(count) for word, count in counts.items()},
                word_docs={str(word): int(count) for word, count in docs.items()},
            )
        except json.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            raise _no_tokenizer(f"{place}: {error.msg}") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _no_tokenizer(f"{type(error).__name__}: {error}") from error

    # --- parts ----------------------------------------------------------------------------------

    def _split_all(self, method: str, texts: Iterable[Text]) -> Iterator[list[str]]:
        if isinstance(texts, str):
            raise ArgumentError(f"{method}: expected texts, got one text", mend=f"{method}([text])")
        return map(self._split, texts)

    def _split(self, text: Text) -> list[str]:
        if isinstance(text, str) and not self.char_level:
            return text_to_word_sequence(text, self.filters, self.lower, self.split)
        return [word.lower() if self.lower else word for word in text]

    def _check_fitted(self, method: str) -> None:
        if not self.document_count:
            raise ArgumentError(
                f"{method}: the tokenizer has seen no texts",
                mend="use what fit_on_texts returns: tokenizer = tokenizer.fit_on_texts(texts)",
            )


_SETTINGS = (
    "num_words",
    "filters",
    "lower",
    "split",
    "char_level",
    "oov_token",
    "document_count",
)


def _no_tokenizer(found: str) -> DataFormatError:
    return DataFormatError(
        f"Tokenizer.from_json: expected what Tokenizer.to_json writes, found {found}",
        mend="pass the text of Tokenizer.to_json",
    )
