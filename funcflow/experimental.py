"""Names that JAX programs import from `jax.experimental`."""

from funcflow.transforms.callback import io_callback as io_callback
