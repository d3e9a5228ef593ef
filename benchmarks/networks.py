"""Networks made of layers: their training steps, inference and peak memory.

funcflow runs models of `funcflow.nn` in `train.train_step` (nn_models.py), PyTorch those of
`torch.nn` (torch_networks.py), JAX plain functions (network_functions.py).
"""

import harness  # first: it cleans the environment

# isort: split
import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import comparison
import network_functions as networks
import training
from comparison import Measured, Options, Program, Row, Table
from network_functions import Network

TARGET, ALEXNET_TARGET, MEMORY_TARGET = 0.8, 1.0, 1.0
CHECKED_STEPS = 3
TINY = networks.ImageCNN(batch_size=2, size=16)

FULL: dict[str, Network] = {
    "image CNN": networks.ImageCNN(),
    "LSTM classifier": networks.LSTMClassifier(),
    "sentence CNN": networks.SentenceCNN(),
    "transformer": networks.Transformer(),
    "ResNet-18": networks.ResNet18(),
    "AlexNet": networks.AlexNet(),
}
QUICK: dict[str, Network] = {
    "image CNN": networks.ImageCNN(batch_size=2, size=16),
    "LSTM classifier": networks.LSTMClassifier(batch_size=4, length=10, vocabulary=100),
    "sentence CNN": networks.SentenceCNN(batch_size=4, length=10, vocabulary=100),
    "transformer": networks.Transformer(batch_size=1, context=16, width=64),
    "ResNet-18": networks.ResNet18(batch_size=4, size=32, widths=(8, 16, 32, 64)),
    "AlexNet": networks.AlexNet(batch_size=2, size=64, hidden=64),
}


def size(network: Network) -> str:
    """The shape of a batch, in words."""
    count = network.batch_size
    if isinstance(network, networks.Transformer):
        return f"{count} of T={network.context}, d={network.width}"
    if isinstance(network, networks.LSTMClassifier | networks.SentenceCNN):
        return f"{count} of {network.length} words"
    return f"{count} of {network.size}x{network.size}x3"


# --- programs -------------------------------------------------------------------------------


def training_programs(library: str, network: Network, *, torch_compile: bool) -> dict[str, Program]:
    """The training step as programs whose result is the loss before the step."""
    api = comparison.load(library)
    if library == "jax":
        step, state = networks.training_step(api, network), networks.initial_state(api, network)
        run = comparison.carrying(api, step, state, network.batch())
        return {library: lambda: run()[0]}
    return _written_with_layers(library, "training_program", network, torch_compile)


def inference_programs(
    library: str, network: Network, *, torch_compile: bool
) -> dict[str, Program]:
    """Programs whose result is the logits."""
    api = comparison.load(library)
    if library == "jax":
        params, x = network.init(), network.batch()[0]
        function = partial(_plain_logits, api, network)
        return {library: comparison.jitted(api, function, (params, x))}
    return _written_with_layers(library, "inference_program", network, torch_compile)


def _plain_logits(api: Any, network: Network, params: Any, x: Any) -> Any:
    return network.logits(api, params, x, None)


def _written_with_layers(
    library: str, program: str, network: Network, torch_compile: bool
) -> dict[str, Program]:
    # Imported here, since processes that measure one library must not have the others.
    if library == "funcflow":
        return {library: getattr(importlib.import_module("nn_models"), program)(network)}
    make = getattr(importlib.import_module("torch_networks"), program)
    variants = {library: False, **({"torch_compile": True} if torch_compile else {})}
    return {name: make(network, compiled=compiled) for name, compiled in variants.items()}


def programs(
    make: Callable[..., dict[str, Program]], network: Network, *, torch_compile: bool
) -> dict[str, Program]:
    """Those of all libraries, in the order in which they take turns."""
    cases: dict[str, Program] = {}
    for library in comparison.libraries():
        cases |= make(library, network, torch_compile=torch_compile)
    return cases


# --- rows -----------------------------------------------------------------------------------


def step_time(network: Network, options: Options) -> Measured:
    check_steps(network)
    cases = programs(training_programs, network, torch_compile=options.torch_compile)
    return comparison.median_times(cases, options)


def check_steps(network: Network) -> None:
    """Compares the losses of some steps without dropout, whose masks differ by library.

    Later losses depend on the gradients and the updates.
    """
    cases = programs(training_programs, without_dropout(network), torch_compile=False)
    for _ in range(CHECKED_STEPS):
        comparison.check_equal({name: case() for name, case in cases.items()}, 1e-3)


def without_dropout(network: Network) -> Network:
    if isinstance(network, networks.ImageCNN):
        return replace(network, rates=(0.0, 0.0))
    if isinstance(network, networks.SentenceCNN):
        return replace(network, rate=0.0)
    return network


def inference_time(network: Network, options: Options) -> Measured:
    cases = programs(inference_programs, network, torch_compile=options.torch_compile)
    comparison.check_equal({name: case() for name, case in cases.items()}, 1e-3)
    return comparison.median_times(cases, options)


def step_memory(name: str, options: Options) -> Measured:
    def case(library: str) -> float:
        arguments = library, name, options.quick
        return harness.in_fresh_process("networks", "peak_bytes", *arguments).result

    cases = {library: partial(case, library) for library in comparison.libraries()}
    return comparison.medians(cases, min(options.rounds, training.MEMORY_ROUNDS))


def peak_bytes(library: str, name: str, quick: bool) -> int:
    """What training takes beyond a library that has trained something tiny: in a fresh process."""
    training.taken_once(_training_program(library, TINY))
    network = (QUICK if quick else FULL)[name]
    return training.bytes_taken(lambda: training.taken_once(_training_program(library, network)))


def _training_program(library: str, network: Network) -> Program:
    (program,) = training_programs(library, network, torch_compile=False).values()
    return program


def tables(quick: bool) -> list[Table]:
    chosen = QUICK if quick else FULL
    times, memory = [], []
    for name, network in chosen.items():
        inference = partial(inference_time, network)
        if isinstance(network, networks.AlexNet):
            times.append(Row(f"{name}, inference", size(network), ALEXNET_TARGET, inference))
            continue
        step = partial(step_time, network)
        times.append(Row(f"{name}, training step", size(network), TARGET, step))
        times.append(Row(f"{name}, inference", size(network), TARGET, inference))
        memory.append(Row(name, size(network), MEMORY_TARGET, partial(step_memory, name)))
    return [
        Table("networks", times),
        Table("networks-memory", memory, unit="MB"),
    ]


if __name__ == "__main__":
    comparison.main("Networks", tables, rounds=11)
