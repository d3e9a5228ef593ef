import csv

import pytest

from funcflow import errors, losses, optim, train


def fit(problem, *callbacks, **changes):
    arguments = {
        "loss": losses.softmax_cross_entropy_with_integer_labels,
        "optimizer": optim.sgd(0.1),
        "epochs": 2,
        "batch_size": 48,
        "progress": False,
    }
    return train.fit(problem.model, problem.data, callbacks=callbacks, **{**arguments, **changes})


def test_the_table_has_a_line_for_each_epoch(problem, tmp_path):
    path = tmp_path / "history.csv"
    history = fit(problem, train.CSVLogger(path), validation=problem.data).history
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in rows] == history["val_loss"]
    assert list(rows[0]) == ["epoch", "loss", "val_loss"]


def test_a_resumed_training_writes_all_epochs(problem, tmp_path):
    path = tmp_path / "history.csv"
    callbacks = [train.CSVLogger(path), train.Checkpoint(tmp_path / "saved")]
    fit(problem, *callbacks)
    fit(problem, *callbacks, epochs=3, resume_from=tmp_path / "saved")
    assert len(path.read_text("utf-8").splitlines()) == 4


def test_the_history_is_drawn(problem, tmp_path):
    path = tmp_path / "history.png"
    fit(problem, train.PlotHistory(path), metrics={"accuracy": train.metrics.accuracy()})
    assert path.read_bytes().startswith(b"\x89PNG")


def test_an_empty_history_has_no_picture(tmp_path):
    with pytest.raises(errors.ArgumentError, match="the history has no numbers"):
        train.plot_history(train.History(), tmp_path / "history.png")
