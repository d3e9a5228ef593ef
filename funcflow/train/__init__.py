"""Training: the loop, what it watches, and what it keeps."""

from funcflow.train import metrics as metrics
from funcflow.train.callback import Callback as Callback
from funcflow.train.callback import Run as Run
from funcflow.train.checkpoints import restore as restore
from funcflow.train.checkpoints import save as save
from funcflow.train.checkpoints import saved_steps as saved_steps
from funcflow.train.history import History as History
from funcflow.train.interrupts import TrainingInterrupted as TrainingInterrupted
from funcflow.train.loop import Fit as Fit
from funcflow.train.loop import evaluate as evaluate
from funcflow.train.loop import fit as fit
from funcflow.train.loop import predict as predict
from funcflow.train.progress import ProgressBar as ProgressBar
from funcflow.train.resuming import Checkpoint as Checkpoint
from funcflow.train.resuming import load_model as load_model
from funcflow.train.steps import TrainState as TrainState
from funcflow.train.steps import computed as computed
from funcflow.train.steps import create_state as create_state
from funcflow.train.steps import empty as empty
from funcflow.train.steps import eval_step as eval_step
from funcflow.train.steps import supervised as supervised
from funcflow.train.steps import train_step as train_step
