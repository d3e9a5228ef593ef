import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import funcflow as ff
from funcflow import losses, optim, train

ROOT = Path(ff.__file__).parents[1]

# As in a notebook without ipywidgets; a warning is an error.
IN_NOTEBOOK = """
import sys, types, warnings
warnings.simplefilter("error")
sys.modules["ipywidgets"] = None
sys.modules["ipykernel.zmqshell"] = types.ModuleType("zmqshell")
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: None)
import numpy as np
import funcflow as ff
from funcflow import losses, nn, optim, train
data = np.ones((8, 1), np.float32), np.ones((8, 1), np.float32)
model = nn.Linear(1, 1, key=ff.random.key(0))
train.fit(model, data, loss=losses.squared_error, optimizer=optim.sgd(0.1), epochs=1, batch_size=4)
"""


def fit(problem, **changes):
    arguments = {
        "loss": losses.softmax_cross_entropy_with_integer_labels,
        "optimizer": optim.sgd(0.1),
        "epochs": 2,
        "batch_size": 20,
    }
    return train.fit(problem.model, problem.data, **{**arguments, **changes})


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def last_states(self):
        """What stands at last in each line; bars are written over and over."""
        return [line.split("\r")[-1] for line in self.getvalue().split("\n") if line.strip()]


def test_in_a_terminal_each_epoch_has_a_bar(problem):
    metrics = {"accuracy": train.metrics.accuracy()}
    with contextlib.redirect_stderr(Terminal()) as terminal:
        history = fit(problem, metrics=metrics, validation=problem.data).history
    assert "  0%|" in terminal.getvalue()
    lines = terminal.last_states()
    assert len(lines) == 2
    for line, row in zip(lines, history, strict=True):
        assert line.startswith(f"epoch {row['epoch']}/2: 100%|")
        assert "| 5/5 [" in line
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert f" {name}={row[name]:.4g}" in line


def test_elsewhere_each_epoch_has_one_line_when_it_is_over(problem, capsys):
    metrics = {"accuracy": train.metrics.accuracy()}
    history = fit(problem, metrics=metrics, validation=problem.data).history
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "\r" not in shown.err
    lines = shown.err.splitlines()
    assert len(lines) == 2
    for line, row in zip(lines, history, strict=True):
        assert re.match(rf"epoch {row['epoch']}/2: 5/5 in \d+\.\d s, ", line)
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert f" {name}={row[name]:.4g}" in line


def test_examples_and_batches_go_together(problem, capsys):
    """Of the four batches behind the first, three have 20 examples, the last one 16."""
    fit(problem, epochs=1)
    (line,) = capsys.readouterr().err.splitlines()
    found = re.search(r"([\d.,]+) batches/s, ([\d.,]+) examples/s", line)
    assert found is not None
    batches, examples = (float(number.replace(",", "")) for number in found.groups())
    assert abs(examples / batches - 19) < 0.2


def test_an_epoch_of_one_batch_has_no_speed(problem, capsys):
    fit(problem, epochs=1, batch_size=96)
    (line,) = capsys.readouterr().err.splitlines()
    assert "/s" not in line
    assert "loss=" in line


def test_batches_of_unknown_number_are_counted(problem, capsys):
    x, y = problem.data
    source = ff.data.from_generator(lambda: zip(x, y, strict=True)).batch(48)
    train.fit(
        problem.model,
        source,
        loss=losses.softmax_cross_entropy_with_integer_labels,
        optimizer=optim.sgd(0.1),
        epochs=1,
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert "2/?" in line


def test_a_resumed_epoch_starts_in_its_middle(problem, capsys, tmp_path):
    class Stopping(train.Callback):
        def on_batch_end(self, run):
            run.stop = run.batch == 3

    callbacks = [Stopping(), train.Checkpoint(tmp_path, every=3)]
    fit(problem, epochs=1, callbacks=callbacks)
    assert "3/5" in capsys.readouterr().err
    callbacks[0] = train.Callback()
    fit(problem, epochs=1, callbacks=callbacks, resume_from=tmp_path)
    assert "5/5" in capsys.readouterr().err


def test_there_need_not_be_one(problem, capsys):
    fit(problem, progress=False)
    assert capsys.readouterr() == ("", "")


def test_without_tqdm_a_terminal_gets_lines(problem, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.autonotebook", None)
    with contextlib.redirect_stderr(Terminal()) as terminal:
        fit(problem)
    assert re.fullmatch(r"(epoch \d/2: 5/5 in .*loss=.*\n){2}", terminal.getvalue())


def test_without_stderr_nothing_is_shown(problem, capsys):
    with contextlib.redirect_stderr(None):
        fit(problem)
    assert capsys.readouterr() == ("", "")


def test_a_notebook_without_widgets_gets_a_line_and_no_warning():
    found = subprocess.run(
        [sys.executable, "-c", IN_NOTEBOOK], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "2/2" in found.stderr
    assert "Warning" not in found.stderr
