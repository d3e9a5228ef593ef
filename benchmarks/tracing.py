"""The time to trace, differentiate and lower the training step of a 12-layer transformer.

The model is a decoder-only transformer over bytes, its layers unrolled and its parameters a list of
dicts. It is written once: `api` is JAX or funcflow.
"""

import harness  # first: it cleans the environment

# isort: split
import importlib
import math
from collections.abc import Callable, Iterator
from time import perf_counter
from types import ModuleType
from typing import Any

import numpy as np

LAYERS = 12
WIDTH = 256
HEADS = 4
CONTEXT = 128
VOCABULARY = 256
BATCH = 8


def init(api: ModuleType) -> dict[str, Any]:
    """Random parameters. Weights map the last axis; those of attention keep heads apart."""
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> Any:
        return api.numpy.asarray(0.02 * rng.standard_normal(shape, np.float32))

    def norm() -> dict[str, Any]:
        ones, zeros = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
        return {"scale": api.numpy.asarray(ones), "shift": api.numpy.asarray(zeros)}

    def layer() -> dict[str, Any]:
        return {
            "attention_norm": norm(),
            "query_key_value": weights(WIDTH, 3, HEADS, WIDTH // HEADS),
            "attention_out": weights(HEADS, WIDTH // HEADS, WIDTH),
            "mlp_norm": norm(),
            "mlp_in": weights(WIDTH, 4 * WIDTH),
            "mlp_out": weights(4 * WIDTH, WIDTH),
        }

    return {
        "tokens": weights(VOCABULARY, WIDTH),
        "positions": weights(CONTEXT, WIDTH),
        "layers": [layer() for _ in range(LAYERS)],
        "final_norm": norm(),
    }


def layer_norm(api: ModuleType, params: dict[str, Any], x: Any) -> Any:
    xp = api.numpy
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    variance = xp.mean(centred * centred, axis=-1, keepdims=True)
    return centred * api.lax.rsqrt(variance + 1e-5) * params["scale"] + params["shift"]


def attention(api: ModuleType, params: dict[str, Any], x: Any) -> Any:
    xp = api.numpy
    query, key, value = xp.einsum("btd,dshk->sbhtk", x, params["query_key_value"])
    scores = xp.einsum("bhqk,bhtk->bhqt", query, key) / math.sqrt(WIDTH // HEADS)
    causal = xp.tril(xp.ones((CONTEXT, CONTEXT), dtype=bool))
    shares = api.nn.softmax(xp.where(causal, scores, -1e9), axis=-1)
    mixed = xp.einsum("bhqt,bhtk->bhqk", shares, value)
    return xp.einsum("bhqk,hkd->bqd", mixed, params["attention_out"])


def logits(api: ModuleType, params: dict[str, Any], tokens: Any) -> Any:
    x = params["tokens"][tokens] + params["positions"]
    for layer in params["layers"]:
        x = x + attention(api, layer, layer_norm(api, layer["attention_norm"], x))
        hidden = api.nn.gelu(layer_norm(api, layer["mlp_norm"], x) @ layer["mlp_in"])
        x = x + hidden @ layer["mlp_out"]
    return layer_norm(api, params["final_norm"], x) @ params["tokens"].T


def make_step(api: ModuleType) -> Callable[..., Any]:
    """A training step with Adam. Each call makes a new function, which no cache has seen."""
    xp, tree_map = api.numpy, api.tree.map

    def loss(params: dict[str, Any], tokens: Any, targets: Any) -> Any:
        log_probabilities = api.nn.log_softmax(logits(api, params, tokens), axis=-1)
        chosen = xp.take_along_axis(log_probabilities, targets[..., None], axis=-1)
        return -xp.mean(chosen)

    def step(state: tuple[Any, Any, Any, Any], tokens: Any, targets: Any) -> Any:
        count, params, mean, square = state
        value, grads = api.value_and_grad(loss)(params, tokens, targets)
        count = count + 1
        mean = tree_map(lambda m, g: 0.9 * m + 0.1 * g, mean, grads)
        square = tree_map(lambda s, g: 0.999 * s + 0.001 * g * g, square, grads)
        mean_scale, square_scale = 1 / (1 - 0.9**count), 1 / (1 - 0.999**count)

        def update(p: Any, m: Any, s: Any) -> Any:
            return p - 1e-3 * (m * mean_scale) / (xp.sqrt(s * square_scale) + 1e-8)

        return value, (count, tree_map(update, params, mean, square), mean, square)

    return step


def arguments(api: ModuleType) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(1)
    text = rng.integers(0, VOCABULARY, (BATCH, CONTEXT + 1), dtype=np.int32)
    params = init(api)
    mean, square = (api.tree.map(api.numpy.zeros_like, params) for _ in range(2))
    state = (api.numpy.asarray(np.float32(0)), params, mean, square)
    return state, api.numpy.asarray(text[:, :-1]), api.numpy.asarray(text[:, 1:])


def lowering_time(api: ModuleType) -> Callable[[], float]:
    args = arguments(api)

    def case() -> float:
        step = make_step(api)
        start = perf_counter()
        api.jit(step).lower(*args)
        return perf_counter() - start

    return case


def inner_jaxprs(params: dict[str, Any]) -> Iterator[Any]:
    """The jaxprs among an equation's parameters: alone or in a tuple, closed or open."""
    for value in params.values():
        for item in value if isinstance(value, list | tuple) else [value]:
            jaxpr = getattr(item, "jaxpr", item)
            if hasattr(jaxpr, "eqns"):
                yield jaxpr


def equations(jaxpr: Any) -> int:
    """The equations of a jaxpr that compute; one that holds jaxprs counts as what is in them."""
    total = 0
    for equation in jaxpr.eqns:
        inner = list(inner_jaxprs(equation.params))
        total += sum(map(equations, inner)) if inner else 1
    return total


def measure(rounds: int) -> dict[str, dict[str, float]]:
    libraries = harness.with_installed_peers("jax")
    apis = {library: importlib.import_module(library) for library in libraries}
    for name, api in apis.items():
        traced = api.make_jaxpr(make_step(api))(*arguments(api))
        print(f"{harness.LIBRARIES[name]}: {equations(traced.jaxpr):,} equations")
    times = harness.interleave({name: lowering_time(api) for name, api in apis.items()}, rounds)
    return {"`jit(step).lower(...)`": times}


if __name__ == "__main__":
    harness.run("tracing", "12-layer transformer with Adam", measure, rounds=7, unit="ms")
