"""Losses under the names of optax, one number for each example or element: the caller averages."""

from funcflow.losses.binary import hinge_loss as hinge_loss
from funcflow.losses.binary import perceptron_loss as perceptron_loss
from funcflow.losses.binary import sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy
from funcflow.losses.binary import sigmoid_focal_loss as sigmoid_focal_loss
from funcflow.losses.ctc import ctc_loss as ctc_loss
from funcflow.losses.ctc import ctc_loss_with_forward_probs as ctc_loss_with_forward_probs
from funcflow.losses.ctc_decoding import ctc_greedy_decode as ctc_greedy_decode
from funcflow.losses.divergence import convex_kl_divergence as convex_kl_divergence
from funcflow.losses.divergence import generalized_kl_divergence as generalized_kl_divergence
from funcflow.losses.divergence import kl_divergence as kl_divergence
from funcflow.losses.divergence import (
    kl_divergence_with_log_targets as kl_divergence_with_log_targets,
)
from funcflow.losses.multiclass import multiclass_hinge_loss as multiclass_hinge_loss
from funcflow.losses.multiclass import multiclass_perceptron_loss as multiclass_perceptron_loss
from funcflow.losses.multiclass import safe_softmax_cross_entropy as safe_softmax_cross_entropy
from funcflow.losses.multiclass import smooth_labels as smooth_labels
from funcflow.losses.multiclass import softmax_cross_entropy as softmax_cross_entropy
from funcflow.losses.multiclass import (
    softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels,
)
from funcflow.losses.regression import absolute_error as absolute_error
from funcflow.losses.regression import huber_loss as huber_loss
from funcflow.losses.regression import l2_loss as l2_loss
from funcflow.losses.regression import log_cosh as log_cosh
from funcflow.losses.regression import squared_error as squared_error
from funcflow.losses.similarity import cosine_distance as cosine_distance
from funcflow.losses.similarity import cosine_similarity as cosine_similarity
from funcflow.losses.similarity import triplet_margin_loss as triplet_margin_loss
