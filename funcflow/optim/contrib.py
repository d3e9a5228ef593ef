"""What `optax.contrib` has."""

from funcflow.optim.plateau import ReduceLROnPlateauState as ReduceLROnPlateauState
from funcflow.optim.plateau import reduce_on_plateau as reduce_on_plateau
