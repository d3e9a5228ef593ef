"""What a property-based test does: a hundred small examples, of shapes never seen before.

Each round draws new shapes, as Hypothesis does, so that what is compiled per shape is counted.
"""

import harness  # first: it cleans the environment

# isort: split
import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

EXAMPLES, SHAPES = 100, 51


def make_loss(api: Any) -> Callable[[Any, Any], Any]:
    """A small loss with the operations that tests are full of: a product, softmax, `where`."""
    xp = importlib.import_module(f"{api.__name__}.numpy")

    def loss(w: Any, x: Any) -> Any:
        hidden = xp.tanh(x @ w)
        p = api.nn.softmax(hidden, axis=-1)
        entropy = xp.where(p > 0.1, p * xp.log(p), 0.0)
        return xp.mean(entropy) + xp.var(hidden) + xp.linalg.norm(w)

    return loss


def examples(random: np.random.Generator) -> list[tuple[Any, Any]]:
    shapes = random.integers(1, 1000, (SHAPES, 2))
    drawn = (shapes[i % SHAPES] for i in range(EXAMPLES))
    return [
        (np.full((inner, 4), 0.1, np.float32), np.ones((rows % 30 + 1, inner), np.float32))
        for rows, inner in drawn
    ]


def gradients(library: str, jitted: bool) -> Callable[[], float]:
    api = importlib.import_module(library)
    random = np.random.default_rng(0)

    def case() -> float:
        inputs = examples(random)
        gradient = api.grad(make_loss(api))
        gradient = api.jit(gradient) if jitted else gradient
        start = time.perf_counter()
        for w, x in inputs:
            np.asarray(gradient(w, x))
        return time.perf_counter() - start

    return case


def measure(rounds: int) -> dict[str, dict[str, float]]:
    libraries = harness.with_installed_peers("jax")
    return {
        f"gradient, {how}": harness.interleave(
            {library: gradients(library, how == "jitted") for library in libraries}, rounds
        )
        for how in ("eager", "jitted")
    }


if __name__ == "__main__":
    harness.run("property_tests", "100 examples of 51 shapes", measure, rounds=2, unit="ms")
