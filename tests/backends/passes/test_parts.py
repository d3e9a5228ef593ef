"""Complex values in parts: where they come from, and where wholes are put together."""

from typing import Any

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.passes.parts import split_complex
from funcflow.core.evaluate import eval_closed
from funcflow.core.rewrite import dce_closed
from funcflow.core.typecheck import check_jaxpr

RNG = np.random.default_rng(0)
Z = (RNG.standard_normal((4, 6)) + 1j * RNG.standard_normal((4, 6))).astype("complex64")


def split(f: Any, *args: Any) -> Any:
    closed = ff.make_jaxpr(f)(*args)
    found = split_complex(closed)
    check_jaxpr(found)
    for got, want in zip(eval_closed(found, *args), eval_closed(closed, *args), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    return dce_closed(found)


def names(f: Any, *args: Any) -> list[str]:
    return [eqn.primitive.name for eqn in split(f, *args).eqns]


def test_text() -> None:
    assert str(split(lambda z, w: z * w, Z, Z)) == (
        "{ lambda ; a:c64[4,6] b:c64[4,6]. let\n"
        "    c:f32[4,6] = real a\n"
        "    d:f32[4,6] = imag a\n"
        "    e:f32[4,6] = real b\n"
        "    f:f32[4,6] = imag b\n"
        "    g:f32[4,6] = mul c e\n"
        "    h:f32[4,6] = mul d f\n"
        "    i:f32[4,6] = sub g h\n"
        "    j:f32[4,6] = mul c f\n"
        "    k:f32[4,6] = mul d e\n"
        "    l:f32[4,6] = add j k\n"
        "    m:c64[4,6] = complex i l\n"
        "  in (m,) }"
    )


def test_real_programs_stay_as_they_are() -> None:
    closed = ff.make_jaxpr(lambda x: fnp.sin(x) + 1)(Z.real)
    assert split_complex(closed) is closed


def test_wholes_are_put_together_where_they_are_needed() -> None:
    assert names(lambda z: lax.real(-z), Z) == ["real", "neg"]
    assert names(lambda z: lax.real(lax.neg(lax.neg(z))), Z) == ["real", "neg", "neg"]
    found = names(lambda z: (lambda w: w @ w.T)(-z), Z)
    assert found == ["real", "imag", "neg", "neg", "complex", "transpose", "dot_general"]
    assert names(lambda z: fnp.tanh(z), Z) == ["tanh"]
    found = names(lambda z: lax.neg(fnp.tanh(lax.neg(z))), Z)
    assert found == ["real", "imag", "neg", "neg", "complex", "tanh"] + found[:4] + ["complex"]


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        # of a whole, a view is another one
        (lambda z: lax.transpose(z, (1, 0)), ["transpose"]),
        (lambda z: lax.neg(lax.transpose(z, (1, 0))), ["transpose", "real", "imag"]),
        # of parts, if it only renames axes
        (lambda z: lax.real(lax.transpose(lax.neg(z), (1, 0))), ["real", "neg", "transpose"]),
        (lambda z: lax.real(lax.reshape(lax.neg(z), (4, 1, 6))), ["real", "neg", "reshape"]),
        # parts of another view are those of a whole
        (
            lambda z: lax.real(lax.reshape(lax.neg(z), (24,))),
            ["real", "imag", "neg", "neg", "complex", "reshape", "real"],
        ),
        (
            lambda z: lax.transpose(lax.neg(z), (1, 0)),
            ["real", "imag", "neg", "neg", "complex", "transpose"],
        ),
    ],
)
def test_views(f: Any, expected: list[str]) -> None:
    assert names(f, Z)[: len(expected)] == expected


def test_parts_have_the_shape_of_their_values() -> None:
    def f(x: Any, z: Any) -> Any:
        wide = lax.complex(x, lax.real(z))
        return wide, fnp.sum(wide, 0), fnp.sum(lax.convert_element_type(x, "complex64") * wide, 1)

    split(f, Z.real[0], Z)


def test_literals() -> None:
    split(lambda z: z * (2 - 1j) + 1j, Z)
    split(lambda z: (fnp.full(3, 2 + 1j), z + 1), Z)


def test_values_that_are_used_as_they_are() -> None:
    split(lambda z: (z, lax.stop_gradient(-z), -z, lax.real(z)), Z)


def host_steps(explanation: Any) -> list[Any]:
    """What Python runs in a program and in the bodies of its loops."""
    inner = [step for body in explanation.inner for step in host_steps(body)]
    return [step.computes for step in explanation.steps if step.kind == "host"] + inner


def gate(state: Any, u: Any, qubit: int) -> Any:
    """A state after a gate on one qubit."""
    state = fnp.reshape(state, (2**qubit, 2, -1))
    return fnp.reshape(fnp.einsum("ij,ajb->aib", u, state), (-1,))


def rotation(angle: Any) -> Any:
    phase = fnp.exp(0.5j * angle)
    c, s = fnp.cos(angle / 2), fnp.sin(angle / 2)
    turned = fnp.stack([fnp.stack([c + 0j, -1j * s]), fnp.stack([-1j * s, c + 0j])])
    return (turned * fnp.stack([phase, fnp.conj(phase)])).astype("complex64")


def energy(angles: Any) -> Any:
    """A simulated circuit: rotations, signs, probabilities."""
    state = fnp.zeros(16, "complex64").at[0].set(1)
    signs = fnp.where(fnp.arange(16) % 3 == 0, -1, 1).astype("complex64")
    for layer in angles:
        for qubit in range(4):
            state = gate(state, rotation(layer[qubit]), qubit)
        state = state * signs
    return fnp.sum(fnp.abs(state) ** 2 * fnp.arange(16, dtype="float32"))


def test_gradients_of_a_state_vector_are_native() -> None:
    angles = RNG.standard_normal((2, 4)).astype("float32")
    gradient = ff.grad(energy)
    compiled = ff.jit(gradient)
    assert not host_steps(compiled.explain(angles))
    np.testing.assert_allclose(compiled(angles), gradient(angles), rtol=1e-3, atol=1e-4)


def test_loops_over_complex_states_are_native() -> None:
    angles = RNG.standard_normal(5).astype("float32")
    start = np.eye(1, 8, dtype="complex64")[0]

    def f(angles: Any) -> Any:
        def step(state: Any, angle: Any) -> Any:
            return gate(state, rotation(angle), 1), fnp.vdot(state, state).real

        state, norms = lax.scan(step, start, angles)
        return fnp.sum(state.real**2) + fnp.sum(norms)

    compiled = ff.jit(ff.grad(f))
    assert not host_steps(compiled.explain(angles))
    np.testing.assert_allclose(compiled(angles), ff.grad(f)(angles), rtol=1e-4, atol=1e-5)
