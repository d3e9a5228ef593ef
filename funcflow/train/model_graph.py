"""A model as a graph: its operations and parameters, within the modules that they belong to."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import Jaxpr, Var
from funcflow.core.pytree import (
    KeyPath,
    keystr,
    tree_leaves,
    tree_leaves_with_path,
    tree_structure,
)
from funcflow.core.trace import Tracer, current_trace
from funcflow.nn import ModuleCall, combine, is_array, partition, watch_calls
from funcflow.transforms.inspect import make_jaxpr


class GraphNode(NamedTuple):
    """An operation, a parameter, an input or an output."""

    name: str
    """Unique; what stands before the last slash is the place of a module, as `scope` writes it."""
    op: str
    inputs: tuple[str, ...]
    """The names of the nodes whose outputs it takes; output i > 0 of a node is `name:i`."""
    outputs: tuple[ShapedArray, ...]


def scope(path: KeyPath) -> str:
    """A key path whose attributes are parted by slashes.

    Example:
        >>> from funcflow.train.model_graph import scope
        >>> model = nn.Sequential([nn.Linear(2, 1, key=ff.random.key(0))])
        >>> [scope(path) for path, _ in ff.tree_util.tree_leaves_with_path(model)]
        ['layers[0]/kernel', 'layers[0]/bias']
    """
    keys = (f"/{key.name}" if hasattr(key, "name") else keystr((key,)) for key in path)
    return "".join(keys).removeprefix("/")


def model_graph(model: Any, *args: Any) -> list[GraphNode]:
    """What a model does with some inputs, each node after those that it takes something from.

    Nothing is computed. An operation belongs to the innermost module whose output depends on it and
    whose positional arguments do not. What is within a loop or another transform is one node.

    Args:
        model: a module, or any function.
        *args: what it is called with: arrays, or `ff.ShapeDtypeStruct`s.

    Example:
        >>> from funcflow.train.model_graph import model_graph
        >>> model = nn.Sequential([nn.Linear(2, 1, key=ff.random.key(0)), nn.relu])
        >>> for node in model_graph(model, ff.ShapeDtypeStruct((8, 2), "float32")):
        ...     print(node.name, *node.inputs)
        layers[0]/kernel
        layers[0]/bias
        input
        layers[0]/dot_general input layers[0]/kernel
        layers[0]/add layers[0]/dot_general layers[0]/bias
        layers[1]/le layers[0]/add
        layers[1]/select_n layers[1]/le layers[0]/add
        output layers[1]/select_n
    """
    scopes: list[str] = []
    arrays, fixed = partition(model, is_array)

    def run(arrays: Any, *args: Any) -> Any:
        trace = current_trace.get()
        ends: list[tuple[list[Tracer], list[Tracer]]] = []

        def watch(call: ModuleCall) -> None:
            if current_trace.get() is trace:  # else its values cannot leave the inner transform
                scopes.append(scope(call.path))
                ends.append((_tracers(call.args), _tracers(call.output)))

        with watch_calls(watch):
            output = combine(arrays, fixed)(*args)
        return output, ends

    closed, shapes = make_jaxpr(run, return_shape=True)(arrays, *args)
    jaxpr: Jaxpr = closed.jaxpr
    # what went into and out of each call is among the outputs of the jaxpr
    outputs: Any = tree_structure(shapes).unflatten(jaxpr.outvars)
    output, ends = outputs
    writer = _Writer()
    for constant in jaxpr.constvars:
        writer.add("constant", "Constant", (), [constant])
    for (name, op), variable in zip(_inputs(arrays, args), jaxpr.invars, strict=True):
        writer.add(name, op, (), [variable])
    for eqn, place in zip(jaxpr.eqns, _places(jaxpr, scopes, ends), strict=True):
        op = str(eqn.params.get("name", eqn.primitive.name))
        writer.add(f"{place}/{op}".removeprefix("/"), op, eqn.invars, eqn.outvars)
    for leaf in tree_leaves(output):
        writer.add("output", "Output", [leaf], [])
    return writer.nodes


def _tracers(tree: Any) -> list[Tracer]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tracer)]


def _inputs(arrays: Any, args: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    """Names and kinds of a model's arrays and of what it is called with."""
    for path, _ in tree_leaves_with_path(arrays):
        yield scope(path) or "model", "Parameter"
    for i, arg in enumerate(args):
        for path, _ in tree_leaves_with_path(arg):
            number = f"_{i}" if len(args) > 1 else ""
            yield f"input{number}{keystr(path)}", "Input"


def _places(
    jaxpr: Jaxpr, scopes: Sequence[str], ends: Sequence[tuple[list[Any], list[Any]]]
) -> list[str]:
    """The scope of the module that each equation belongs to; inner calls come first."""
    makers: dict[Var, int] = {
        variable: i for i, eqn in enumerate(jaxpr.eqns) for variable in eqn.outvars
    }
    places: dict[int, str] = {}
    for place, (args, outputs) in zip(scopes, ends, strict=True):
        seen, pending = set(_variables(args)), list(_variables(outputs))
        while pending:
            variable = pending.pop()
            if variable in seen or variable not in makers:
                continue
            seen.add(variable)
            maker = makers[variable]
            places.setdefault(maker, place)
            pending.extend(_variables(jaxpr.eqns[maker].invars))
    return [places.get(i, "") for i in range(len(jaxpr.eqns))]


def _variables(atoms: Sequence[Any]) -> Iterator[Var]:
    return (atom for atom in atoms if isinstance(atom, Var))


class _Writer:
    """Collects nodes, and knows which of them gives a variable its value."""

    def __init__(self) -> None:
        self.nodes: list[GraphNode] = []
        self._outputs: dict[Var, str] = {}
        self._uses: dict[str, int] = {}

    def add(self, name: str, op: str, inputs: Sequence[Any], outputs: Sequence[Var]) -> None:
        used = self._uses[name] = self._uses.get(name, -1) + 1
        name = f"{name}_{used}" if used else name
        taken = tuple(self._outputs[variable] for variable in _variables(inputs))
        self.nodes.append(GraphNode(name, op, taken, tuple(v.aval for v in outputs)))
        for i, variable in enumerate(outputs):
            self._outputs[variable] = f"{name}:{i}" if i else name
