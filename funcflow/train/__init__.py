"""Training: the loop, what it watches, and what it keeps."""

from funcflow.train.checkpoints import restore as restore
from funcflow.train.checkpoints import save as save
from funcflow.train.checkpoints import saved_steps as saved_steps
