"""Metrics that are computed batch by batch: pure functions of states, which are pytrees of sums."""

from funcflow.train.metrics.averages import mean as mean
from funcflow.train.metrics.averages import mean_absolute_error as mean_absolute_error
from funcflow.train.metrics.averages import mean_squared_error as mean_squared_error
from funcflow.train.metrics.averages import r2_score as r2_score
from funcflow.train.metrics.classes import accuracy as accuracy
from funcflow.train.metrics.classes import binary_accuracy as binary_accuracy
from funcflow.train.metrics.classes import confusion_matrix as confusion_matrix
from funcflow.train.metrics.classes import top_k_accuracy as top_k_accuracy
from funcflow.train.metrics.metric import Metric as Metric
from funcflow.train.metrics.metric import together as together
from funcflow.train.metrics.ranking import binned_roc_auc as binned_roc_auc
from funcflow.train.metrics.ranking import roc_auc as roc_auc
from funcflow.train.metrics.retrieval import f1_score as f1_score
from funcflow.train.metrics.retrieval import iou as iou
from funcflow.train.metrics.retrieval import precision as precision
from funcflow.train.metrics.retrieval import recall as recall
