import sys

import numpy as np
import pytest

import funcflow as ff
from funcflow import errors, losses, nn, optim, train

X = ff.ShapeDtypeStruct((8, 2), "float32")


def fit(problem, *callbacks, **changes):
    arguments = {
        "loss": losses.softmax_cross_entropy_with_integer_labels,
        "optimizer": optim.sgd(0.1),
        "epochs": 2,
        "batch_size": 48,
        "progress": False,
    }
    return train.fit(problem.model, problem.data, callbacks=callbacks, **{**arguments, **changes})


def column(history, name):
    return {(name.removeprefix("val_"), row["epoch"]): np.float32(row[name]) for row in history}


def test_training_and_validation_are_two_runs(problem, tmp_path, read_summaries):
    board = train.TensorBoard(tmp_path)
    metrics = {"accuracy": train.metrics.accuracy(), "table": train.metrics.confusion_matrix(2)}
    history = fit(problem, board, validation=problem.data, metrics=metrics).history
    for run, prefix in (("train", ""), ("validation", "val_")):
        expected = column(history, f"{prefix}loss") | column(history, f"{prefix}accuracy")
        assert read_summaries(tmp_path / run, "simple_value") == expected


def test_there_is_no_run_without_numbers(problem, tmp_path):
    fit(problem, train.TensorBoard(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_histograms_of_parameters(problem, tmp_path, read_summaries):
    model = fit(problem, train.TensorBoard(tmp_path, histograms=2), epochs=4).model
    found = read_summaries(tmp_path / "train", "histo")
    parameters = nn.filter(model, nn.trainable(model))
    assert {step for _, step in found} == {2, 4}
    assert len(found) == 2 * len(ff.tree.leaves(parameters))
    assert ("layers[1]/mean", 2) not in found  # a running average
    kernel = np.asarray(model.layers[0].kernel)
    assert found["layers[0]/kernel", 4].num == kernel.size
    assert found["layers[0]/kernel", 4].max == kernel.max()


def test_images(problem, tmp_path, read_summaries):
    board = train.TensorBoard(tmp_path, images=lambda model: {"kernel": model.layers[0].kernel})
    fit(problem, board)
    found = read_summaries(tmp_path / "train", "image")
    assert [(*place, image.height, image.width) for place, image in found.items()] == [
        ("kernel", 1, 2, 16),
        ("kernel", 2, 2, 16),
    ]


def test_the_graph(problem, tmp_path, read_run):
    from tensorboardX.proto.graph_pb2 import GraphDef

    fit(problem, train.TensorBoard(tmp_path, graph_inputs=(X,)))
    (graph,) = (e.graph_def for e in read_run(tmp_path / "train") if e.graph_def)
    inputs = {node.name: list(node.input) for node in GraphDef.FromString(graph).node}
    assert inputs["layers[0]/dot_general"] == ["input", "layers[0]/kernel"]
    assert inputs["output"] == ["layers[4]/add"]


def test_after_each_epoch_all_is_on_disk(problem, tmp_path, read_summaries):
    class Reading(train.Callback):
        def on_epoch_end(self, run):
            found = read_summaries(tmp_path / "train", "simple_value")
            assert found == column(run.history, "loss")

    fit(problem, train.TensorBoard(tmp_path), Reading())


def test_a_resumed_training_goes_on_where_it_was_resumed(problem, tmp_path, read_summaries):
    """Epochs 2 and 3 were written after the checkpoint, and come again."""
    board, saving = train.TensorBoard(tmp_path / "logs"), train.Checkpoint(tmp_path / "saved")
    fit(problem, board, saving, epochs=1, validation=problem.data)
    fit(problem, board, epochs=3, validation=problem.data)
    resumed = {"epochs": 4, "resume_from": tmp_path / "saved", "validation": problem.data}
    history = fit(problem, board, saving, **resumed).history
    assert len(list((tmp_path / "logs" / "train").iterdir())) == 3
    for run, name in (("train", "loss"), ("validation", "val_loss")):
        found = read_summaries(tmp_path / "logs" / run, "simple_value")
        assert found == column(history, name)


def test_a_new_training_takes_the_place_of_an_old_one(problem, tmp_path, read_summaries):
    fit(problem, train.TensorBoard(tmp_path), epochs=5)
    history = fit(problem, train.TensorBoard(tmp_path)).history
    assert read_summaries(tmp_path / "train", "simple_value") == column(history, "loss")


def test_a_callback_may_be_used_again(problem, tmp_path, read_summaries):
    board = train.TensorBoard(tmp_path)
    fit(problem, board)
    history = fit(problem, board, epochs=3).history
    assert read_summaries(tmp_path / "train", "simple_value") == column(history, "loss")


def test_histograms_come_after_some_epochs(tmp_path):
    with pytest.raises(errors.ArgumentError, match="histograms must be positive, got 0"):
        train.TensorBoard(tmp_path, histograms=0)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install funcflow\[train\]"):
        train.TensorBoard(tmp_path)
