"""A network as a graph of nodes, and the same network as a function: one trajectory.

Two layers, a sigmoid and a hyperbolic tangent behind them, learn a sample by gradient descent. The
first half of the program is a library of dataflow graphs in 60 lines: a node holds an operation and
the nodes it takes its operands from, and knows nothing of derivatives. funcflow differentiates the
evaluation of the graph by the values of its variables. The second half is the network as one would
write it. Both print the same losses.

    python examples/dataflow.py [--full]
"""

import argparse

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn

# --- dataflow graphs ------------------------------------------------------------------------------


class Node:
    """An operation on the results of other nodes."""

    def __init__(self, operation, *operands):
        self.operation, self.operands = operation, operands

    def __add__(self, other):
        return Node(fnp.add, self, other)

    def __sub__(self, other):
        return Node(fnp.subtract, self, other)

    def __matmul__(self, other):
        return Node(fnp.matmul, self, other)

    def value(self, results):
        """The node's result; `results` has those that are known, and gets this one."""
        if self not in results:
            results[self] = self.operation(*(node.value(results) for node in self.operands))
        return results[self]


class Constant(Node):
    """A node that is given from outside."""

    def __init__(self, value):
        super().__init__(lambda: fnp.asarray(value, fnp.float32))


class Variable(Constant):
    """A node that is learned."""

    def __init__(self, value):
        super().__init__(value)
        self.start = fnp.asarray(value, fnp.float32)


def variables(node):
    """The variables that a node depends on, each once."""
    found = {node: None} if isinstance(node, Variable) else {}
    for operand in node.operands:
        found |= dict.fromkeys(variables(operand))
    return list(found)


def descend(loss, rate, steps):
    """The losses along a gradient descent of the graph's variables."""
    learned = variables(loss)

    @ff.jit
    def step(values):
        def evaluate(values):
            return loss.value(dict(zip(learned, values, strict=True)))

        value, gradients = ff.value_and_grad(evaluate)(values)
        return [v - rate * g for v, g in zip(values, gradients, strict=True)], value

    values, losses = [variable.start for variable in learned], []
    for _ in range(steps):
        values, value = step(values)
        losses.append(float(value))
    return losses


# --- the network ----------------------------------------------------------------------------------

X, Y = np.float32([1, 2, 3]), np.float32([-0.85, 0.72])
W1 = np.arange(1, 13, dtype=np.float32).reshape(3, 4) / 10
W2 = np.arange(13, 21, dtype=np.float32).reshape(4, 2) / 10
B1, B2 = np.float32([-2, -6, -1, -7]), np.float32([-2.5, -5])
RATE = 0.1


def as_a_graph(steps):
    """The losses of the network as a graph."""
    w1, b1, w2, b2 = map(Variable, (W1, B1, W2, B2))
    hidden = Node(nn.sigmoid, Constant(X) @ w1 + b1)
    output = Node(fnp.tanh, hidden @ w2 + b2)
    error = output - Constant(Y)
    return descend(Node(fnp.mean, Node(fnp.square, error)), RATE, steps)


def as_a_function(steps):
    """The losses of the network as a function, all steps in one loop."""

    def loss(params):
        (w1, b1), (w2, b2) = params
        hidden = nn.sigmoid(X @ w1 + b1)
        return fnp.mean((fnp.tanh(hidden @ w2 + b2) - Y) ** 2)

    def step(params, _):
        value, gradients = ff.value_and_grad(loss)(params)
        return ff.tree.map(lambda p, g: p - RATE * g, params, gradients), value

    params = ff.tree.map(fnp.asarray, ((W1, B1), (W2, B2)))
    return ff.jit(lambda params: ff.lax.scan(step, params, None, steps))(params)[1].tolist()


def by_hand(steps):
    """The losses in NumPy, in float64, with the derivatives written out."""
    w1, b1, w2, b2 = (np.float64(p) for p in (W1, B1, W2, B2))
    losses = []
    for _ in range(steps):
        hidden = 1 / (1 + np.exp(-(X @ w1 + b1)))
        output = np.tanh(hidden @ w2 + b2)
        losses.append(np.mean((output - Y) ** 2))
        to_output = (output - Y) * (1 - output**2)  # of the mean of two: the factors cancel
        to_hidden = (w2 @ to_output) * hidden * (1 - hidden)
        w2 = w2 - RATE * np.outer(hidden, to_output)
        b2 = b2 - RATE * to_output
        w1 = w1 - RATE * np.outer(X, to_hidden)
        b1 = b1 - RATE * to_hidden
    return losses


def main(steps):
    """Print both trajectories, and compare them."""
    graph, function = as_a_graph(steps), as_a_function(steps)
    print("step  as a graph  as a function")
    for step in [*range(5), *range(steps // 5, steps, steps // 5), steps - 1]:
        print(f"{step:4}  {graph[step]:.8f}  {function[step]:.8f}")
    for losses in (graph, function):
        np.testing.assert_allclose(losses, by_hand(steps), rtol=1e-4, atol=1e-9)
    assert graph[-1] < 1e-2 * graph[0], "the network has not learned its sample"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="ten times as many steps")
    main(steps=5000 if parser.parse_args().full else 500)
