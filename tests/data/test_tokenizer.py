"""The tokenizer: what Keras documents, and laws."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcflow.data import Tokenizer, text_to_word_sequence
from funcflow.errors import ArgumentError, DataFormatError

TEXTS = ["It was the best of times, it was the worst of times,", "It was the age of wisdom."]
TOKENIZER = Tokenizer().fit_on_texts(TEXTS)

words = st.text("abcd", min_size=1, max_size=2)
texts = st.lists(st.lists(words, max_size=8), min_size=1, max_size=5)


def test_words_of_a_text():
    assert text_to_word_sequence("Don't  (stop)\tnow!\n") == ["don't", "stop", "now"]
    assert text_to_word_sequence("A-b,C", filters="-", lower=False, split=",") == ["A", "b", "C"]
    assert text_to_word_sequence("") == []


def test_numbers_go_by_count_then_by_first_occurrence():
    assert TOKENIZER.word_counts == {
        **{"it": 3, "was": 3, "the": 3, "best": 1, "of": 3, "times": 2},
        **{"worst": 1, "age": 1, "wisdom": 1},
    }
    order = ["it", "was", "the", "of", "times", "best", "worst", "age", "wisdom"]
    assert TOKENIZER.word_index == {word: i for i, word in enumerate(order, 1)}
    assert TOKENIZER.index_word == dict(enumerate(order, 1))
    assert TOKENIZER.document_count == 2
    assert TOKENIZER.word_docs["times"] == 1 and TOKENIZER.word_docs["it"] == 2
    assert TOKENIZER.index_docs[1] == 2 and TOKENIZER.index_docs[5] == 1


def test_unknown_words_are_left_out():
    assert TOKENIZER.texts_to_sequences(["The best, the very best!", ""]) == [[3, 6, 3, 6], []]
    assert TOKENIZER.sequences_to_texts([[3, 99, 6, 0], []]) == ["the best", ""]


def test_unknown_words_become_the_token():
    tokenizer = Tokenizer(oov_token="<unk>").fit_on_texts(TEXTS)
    assert tokenizer.word_index["<unk>"] == 1 and tokenizer.word_index["it"] == 2
    assert tokenizer.texts_to_sequences(["it is the end"]) == [[2, 1, 4, 1]]
    assert tokenizer.sequences_to_texts([[2, 99]]) == ["it <unk>"]


def test_the_most_frequent_words():
    tokenizer = Tokenizer(num_words=4).fit_on_texts(TEXTS)
    assert tokenizer.texts_to_sequences(TEXTS) == [[1, 2, 3, 1, 2, 3], [1, 2, 3]]
    assert tokenizer.sequences_to_texts([[1, 5, 3]]) == ["it the"]
    assert len(tokenizer.word_index) == 9
    known = Tokenizer(num_words=3, oov_token="?").fit_on_texts(TEXTS)
    assert known.texts_to_sequences(["it was"]) == [[2, 1]]
    assert known.sequences_to_texts([[2, 3, 99]]) == ["it ? ?"]


def test_characters():
    tokenizer = Tokenizer(char_level=True).fit_on_texts(["Abba!"])
    assert tokenizer.word_index == {"a": 1, "b": 2, "!": 3}
    assert tokenizer.texts_to_sequences(["BA?"]) == [[2, 1]]
    assert tokenizer.sequences_to_texts([[2, 1]]) == ["b a"]


def test_lists_of_words_are_not_split():
    tokenizer = Tokenizer().fit_on_texts([["New York", "is,"], ["new york"]])
    assert tokenizer.word_index == {"new york": 1, "is,": 2}
    kept = Tokenizer(lower=False).fit_on_texts([["A", "a"]])
    assert kept.word_index == {"A": 1, "a": 2}


@given(texts, texts)
def test_fitting_twice_is_fitting_to_all(first, second):
    twice = Tokenizer().fit_on_texts(first).fit_on_texts(second)
    assert twice == Tokenizer().fit_on_texts(first + second)
    assert twice.word_index == Tokenizer().fit_on_texts(first + second).word_index


@given(texts)
def test_there_and_back(texts):
    tokenizer = Tokenizer().fit_on_texts(texts)
    sequences = tokenizer.texts_to_sequences(texts)
    assert tokenizer.sequences_to_texts(sequences) == [" ".join(text) for text in texts]
    assert [len(sequence) for sequence in sequences] == [len(text) for text in texts]


def test_it_is_a_value():
    tokenizer = Tokenizer()
    tokenizer.fit_on_texts(TEXTS)
    assert not tokenizer.word_index


# --- matrices -----------------------------------------------------------------------------------


def test_matrices():
    tokenizer = Tokenizer().fit_on_texts(["a a b", "a c", "c"])  # numbers: a 1, c 2, b 3
    text = ["a a a b", "", "c z"]
    count = [[0, 3, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]]
    assert tokenizer.texts_to_matrix(text, "count").tolist() == count
    assert tokenizer.texts_to_matrix(text).tolist() == np.sign(count).tolist()
    freq = [[0, 0.75, 0, 0.25], [0, 0, 0, 0], [0, 0, 1, 0]]
    assert tokenizer.texts_to_matrix(text, "freq").tolist() == freq
    a, b = (1 + math.log(3)) * math.log(1 + 3 / (1 + 2)), math.log(1 + 3 / (1 + 1))
    tfidf = tokenizer.texts_to_matrix(text, "tfidf")
    assert tfidf.dtype == np.float32
    np.testing.assert_allclose(tfidf[0], [0, a, 0, b], rtol=1e-6)
    assert tokenizer.sequences_to_matrix([[1, 1]], "count").tolist() == [[0, 2, 0, 0]]


def test_matrices_of_the_most_frequent_words():
    tokenizer = Tokenizer(num_words=3).fit_on_texts(["a a b", "a c", "c"])
    assert tokenizer.texts_to_matrix(["a b c c"], "count").tolist() == [[0, 1, 2]]
    assert tokenizer.sequences_to_matrix([[1, 3]], "freq").tolist() == [[0, 0.5, 0]]


# --- to keep it ---------------------------------------------------------------------------------


@given(texts, st.none() | st.integers(2, 5), st.none() | st.just("<unk>"), st.booleans())
def test_json(texts, num_words, oov_token, char_level):
    tokenizer = Tokenizer(num_words, oov_token=oov_token, char_level=char_level, lower=False)
    tokenizer = tokenizer.fit_on_texts(texts)
    read = Tokenizer.from_json(tokenizer.to_json())
    assert read == tokenizer
    assert read.word_index == tokenizer.word_index


def test_json_has_the_form_of_keras():
    form = json.loads(TOKENIZER.to_json())
    assert form["class_name"] == "Tokenizer"
    assert set(form["config"]) == {
        *("num_words", "filters", "lower", "split", "char_level", "oov_token", "document_count"),
        *("word_counts", "word_docs", "index_docs", "index_word", "word_index"),
    }
    assert json.loads(form["config"]["word_index"]) == TOKENIZER.word_index
    assert json.loads(form["config"]["index_word"])["1"] == "it"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "line 1, column 1: Expecting value"),
        ('{"config":\n{', "line 2, column 2: "),
        ("[]", "TypeError"),
        ("{}", "KeyError: 'config'"),
        ('{"config": {"word_counts": "{}", "word_docs": "{}"}}', "KeyError: 'num_words'"),
        (TOKENIZER.to_json().replace("3", "many"), "Expecting value"),
    ],
)
def test_text_that_is_no_tokenizer(text, found):
    with pytest.raises(
        DataFormatError, match=f"expected what Tokenizer.to_json .* found .*{found}"
    ):
        Tokenizer.from_json(text)


def test_wrong_arguments():
    with pytest.raises(ArgumentError, match=r"(?s)seen no texts.*tokenizer.fit_on_texts\(texts\)"):
        Tokenizer().texts_to_sequences(["a"])
    with pytest.raises(ArgumentError, match="fit_on_texts: expected texts, got one text"):
        Tokenizer().fit_on_texts("a text")
    with pytest.raises(ArgumentError, match="mode='sum'"):
        TOKENIZER.texts_to_matrix(TEXTS, "sum")  # pyright: ignore
