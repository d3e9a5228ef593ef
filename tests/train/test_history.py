import pytest

from funcflow import train


def test_columns_and_rows():
    history = train.History([{"epoch": 1, "loss": 2.0}])
    history.append({"epoch": 2, "loss": 1.0, "accuracy": 0.5})["more"] = 1
    assert history.names == ["epoch", "loss", "accuracy", "more"]
    assert history["loss"] == [2.0, 1.0] and history["more"] == [1]
    assert history.last["accuracy"] == 0.5 and len(history) == 2 and "loss" in history
    assert [row["epoch"] for row in history] == [1, 2]


def test_a_name_that_is_not_there():
    with pytest.raises(KeyError, match="the history has epoch"):
        train.History([{"epoch": 1}])["loss"]
    assert train.History().last == {}
