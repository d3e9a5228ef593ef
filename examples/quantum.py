"""Ground states of quantum systems by a variational circuit, on a simulator of two functions.

The state of n qubits is an array of 2^n complex amplitudes of shape (2,) * n; a gate on some of
them is a tensor contraction over their axes. In each layer of the circuit, neighbours are turned
together by a rotation RZ between two controlled NOTs, and each qubit by RX and RZ, all by angles
that are learned. What is minimised is the energy <psi(angles)| H |psi(angles)> (A. Peruzzo et al.,
"A variational eigenvalue solver on a photonic quantum processor", Nature Communications 5, 4213,
2014): a real function of real numbers, complex in between. Adam gets near a minimum, L-BFGS nearer.

Two Hamiltonians, as sums of products of Pauli matrices:

- the hydrogen molecule on two qubits, with the coefficients of P. J. J. O'Malley et al., "Scalable
  quantum simulation of molecular energies", Physical Review X 6, 031007 (2016), table I, for a
  distance of 0.75 angstroms;
- the critical Ising chain in a transverse field, H = - sum Z_i Z_i+1 - sum X_i, with open ends,
  whose ground state has the energy 1 - 1 / sin(pi / (4 n + 2)) (P. Pfeuty, "The one-dimensional
  Ising model with a transverse field", Annals of Physics 57, 79, 1970).

Energies are compared with exact diagonalisation, gradients with the parameter-shift rule
dE/da = (E(a + pi/2) - E(a - pi/2)) / 2, which holds for a rotation by an angle a.

    python examples/quantum.py [--full]
"""

import argparse
from functools import reduce

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax, optim, random

PAULI = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1 + 0j, -1]),
}
CNOT = np.eye(4, dtype=complex)[[0, 1, 3, 2]].reshape(2, 2, 2, 2)  # the first qubit controls
HYDROGEN = {"II": 0.2252, "ZI": 0.3435, "IZ": -0.4347, "ZZ": 0.5716, "XX": 0.0910, "YY": 0.0910}


def ising(n):
    """The critical chain of n spins."""

    def word(letters):
        return "".join(letters.get(i, "I") for i in range(n))

    bonds = {word({i: "Z", i + 1: "Z"}): -1.0 for i in range(n - 1)}
    return bonds | {word({i: "X"}): -1.0 for i in range(n)}


# --- the simulator --------------------------------------------------------------------------------


def apply(gate, state, *qubits):
    """A gate on k qubits of a state: an array of shape (2,) * 2k, outputs first."""
    k = len(qubits)
    contracted = fnp.tensordot(gate, state, axes=(range(k, 2 * k), qubits))
    return fnp.moveaxis(contracted, range(k), qubits)


def rotation(axis, angle):
    """exp(-i angle/2 P), with the Pauli matrix P of an axis."""
    return fnp.cos(angle / 2) * PAULI["I"] - 1j * fnp.sin(angle / 2) * PAULI[axis]


def circuit(angles):
    """The state that is made of |++...+>, all signs plus; `angles` has the shape (layers, 3, n)."""
    n = angles.shape[-1]

    def layer(state, angles):
        for first in range(n - 1):
            pair = first, first + 1
            state = apply(CNOT, state, *pair)
            state = apply(rotation("Z", angles[0, first]), state, first + 1)
            state = apply(CNOT, state, *pair)
        for qubit in range(n):
            turn = rotation("Z", angles[2, qubit]) @ rotation("X", angles[1, qubit])
            state = apply(turn, state, qubit)
        return state, None

    plus = fnp.full((2,) * n, 2 ** (-n / 2), fnp.complex128)
    return lax.scan(layer, plus, angles)[0]


def energy(angles, hamiltonian):
    """<psi| H |psi>, a real number."""
    state = circuit(angles)

    def expectation(word):
        turned = state
        for qubit, letter in enumerate(word):
            if letter != "I":
                turned = apply(PAULI[letter], turned, qubit)
        return fnp.vdot(state, turned).real

    return sum(coefficient * expectation(word) for word, coefficient in hamiltonian.items())


# --- minimisation ---------------------------------------------------------------------------------


def minimise(optimizer, loss, angles, steps):
    """The angles after some steps of an optimiser, and the loss in each; all in one loop."""
    update = optim.with_extra_args_support(optimizer).update

    def step(carry, _):
        angles, state = carry
        value, grad = ff.value_and_grad(loss)(angles)
        updates, state = update(grad, state, angles, value=value, grad=grad, value_fn=loss)
        return (optim.apply_updates(angles, updates), state), value

    loop = ff.jit(lambda carry: lax.scan(step, carry, None, steps))
    (angles, _), values = loop((angles, optimizer.init(angles)))
    return angles, values


def check_gradient(loss, angles):
    """Compare `grad` with energies at angles shifted by a quarter turn, in all lanes of `vmap`."""
    shifts = np.pi / 2 * np.eye(angles.size).reshape(-1, *angles.shape)
    shifted = ff.jit(ff.vmap(loss))
    differences = (shifted(angles + shifts) - shifted(angles - shifts)) / 2
    gradient = ff.jit(ff.grad(loss))(angles)
    np.testing.assert_allclose(gradient, differences.reshape(angles.shape), rtol=0, atol=1e-12)


def solve(name, hamiltonian, layers, adam_steps, lbfgs_steps):
    """The exact energy, and how far the lowest that is found lies above."""
    n = len(next(iter(hamiltonian)))
    matrix = sum(c * reduce(np.kron, map(PAULI.get, word)) for word, c in hamiltonian.items())
    exact = np.linalg.eigvalsh(matrix)[0]

    def loss(angles):
        return energy(angles, hamiltonian)

    start = 0.1 * random.normal(random.key(1), (layers, 3, n), fnp.float64)
    check_gradient(loss, start)
    angles, by_adam = minimise(optim.adam(0.05), loss, start, adam_steps)
    _, by_lbfgs = minimise(optim.lbfgs(), loss, angles, lbfgs_steps)
    print(f"{name}: {n} qubits, {start.size} angles, exact energy {exact:.8f}")
    print(f"  {adam_steps} steps of Adam: {by_adam[-1] - exact:.1e} above")
    print(f"  {lbfgs_steps} more of L-BFGS: {by_lbfgs[-1] - exact:.1e} above")
    assert by_lbfgs[-1] > exact - 1e-10, "an energy below the ground state's"
    return exact, float(by_lbfgs[-1] - exact)


def main(full):
    """Both systems."""
    _, above = solve("hydrogen molecule", HYDROGEN, 2, 100, 20)
    assert above < 1e-8, "the molecule's ground state is not reached"

    n = 8 if full else 4
    exact, above = solve("Ising chain", ising(n), n, *((1000, 1000) if full else (200, 100)))
    np.testing.assert_allclose(exact, 1 - 1 / np.sin(np.pi / (4 * n + 2)), rtol=1e-12)
    assert above < 1e-4, "the chain's ground state is not reached"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="a longer chain")
    main(parser.parse_args().full)
