"""Training: what a loop over batches is made of."""

from funcflow.train import metrics as metrics
