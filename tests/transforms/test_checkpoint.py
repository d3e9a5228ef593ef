"""checkpoint: the same values, and a recomputation that the jaxpr shows."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax

policies = ff.checkpoint_policies
W = np.linspace(-1, 1, 9).reshape(3, 3)
X = np.array([0.3, -0.4, 0.5])


def chain(x):
    return fnp.sin(fnp.sin(fnp.sin(x)))


def layers(w, x):
    h = ff.checkpoint_name(fnp.sin(w @ x), "hidden")
    return fnp.sum(ff.checkpoint_name(fnp.sin(w @ h), "last"))


def derivative_of_chain(x):
    return np.cos(x) * np.cos(np.sin(x)) * np.cos(np.sin(np.sin(x)))


def backward(f, *args):
    """The jaxpr of the gradient, simplified as `jit` does."""
    return ff.jit(ff.grad(f)).lower(*args).jaxpr


def checkpoints(jaxpr):
    return [eqn for eqn in jaxpr.eqns if eqn.primitive.name == "checkpoint"]


@pytest.mark.parametrize("transform", [lambda f: f, ff.jit])
def test_values_and_derivatives(transform):
    f = transform(ff.checkpoint(chain))
    np.testing.assert_allclose(f(X), chain(X))
    for total in (lambda x: fnp.sum(f(x)), ff.jit(lambda x: fnp.sum(f(x)))):
        np.testing.assert_allclose(ff.grad(total)(X), derivative_of_chain(X))
    np.testing.assert_allclose(ff.jvp(f, (X,), (X,))[1], derivative_of_chain(X) * X)
    np.testing.assert_allclose(ff.vmap(ff.grad(f))(X), derivative_of_chain(X))


def test_values_are_computed_again(count):
    total = lambda x: fnp.sum(ff.checkpoint(chain)(x))  # noqa: E731
    plain = lambda x: fnp.sum(chain(x))  # noqa: E731
    assert count(ff.make_jaxpr(ff.grad(plain))(X), "sin") == 3
    assert count(ff.make_jaxpr(ff.grad(total))(X), "sin") == 5  # the last sine is not needed again
    # simplification does not merge the second computation with the first
    value_and_grad = ff.jit(ff.value_and_grad(total)).lower(X).jaxpr
    assert count(value_and_grad, "sin") == 5


def test_only_the_inputs_are_saved():
    first, again = checkpoints(
        ff.make_jaxpr(ff.grad(lambda x: fnp.sum(ff.checkpoint(chain)(x))))(X)
    )
    assert len(first.outvars) == 1
    assert again.invars[0] is first.invars[0]


@pytest.mark.parametrize(
    ("policy", "saved", "dots", "sines"),
    [
        (None, 0, 2 + 2 + 3, 2 + 1),
        (policies.nothing_saveable, 0, 2 + 2 + 3, 2 + 1),
        # everything that the backward pass reads: the cosines and the named hidden layer
        (policies.everything_saveable, 3, 2 + 3, 2),
        (policies.dots_saveable, 2, 2 + 3, 2 + 1),
        (policies.dots_with_no_batch_dims_saveable, 2, 2 + 3, 2 + 1),
        (policies.save_only_these_names("hidden"), 1, 2 + 2 + 3, 2),
        (policies.save_only_these_names("last"), 0, 2 + 2 + 3, 2 + 1),
        (policies.save_any_names_but_these("last"), 1, 2 + 2 + 3, 2),
        (policies.save_anything_except_these_names("hidden", "last"), 3, 2 + 3, 2),
        (
            policies.save_from_both_policies(
                policies.dots_saveable, policies.save_only_these_names("hidden")
            ),
            3,
            2 + 3,
            2,
        ),
    ],
)
def test_policies_save_exactly_what_they_say(policy, saved, dots, sines, count):
    jaxpr = ff.make_jaxpr(ff.grad(ff.checkpoint(layers, policy=policy)))(W, X)
    first, _ = checkpoints(jaxpr)
    assert len(first.outvars) - 1 == saved
    assert count(jaxpr, "sin") == sines
    assert (count(jaxpr, "dot_general"), count(jaxpr, "cos")) == (dots, 2)


def test_policies_give_the_same_gradient():
    expected = ff.grad(layers)(W, X)
    for policy in (None, policies.dots_saveable, policies.everything_saveable):
        got = ff.jit(ff.grad(ff.checkpoint(layers, policy=policy)))(W, X)
        np.testing.assert_allclose(got, expected)


def test_higher_orders_and_nesting():
    f = ff.checkpoint(lambda x: fnp.sin(ff.checkpoint(lambda y: y**3)(x)))
    g = lambda x: fnp.sin(x**3)  # noqa: E731
    for order in range(3):
        np.testing.assert_allclose(f(0.7), g(0.7), rtol=1e-5, err_msg=f"order {order}")
        f, g = ff.grad(f), ff.grad(g)


def test_in_a_scan_only_the_carries_are_saved():
    def loop(body):
        return lambda x: fnp.sum(lax.scan(lambda c, _: (body(c), None), x, None, length=5)[0])

    def stacked(f):
        scans = [e for e in ff.make_jaxpr(ff.grad(f))(X).eqns if e.primitive.name == "scan"]
        return len(scans[0].outvars) - 1

    np.testing.assert_allclose(ff.grad(loop(ff.checkpoint(chain)))(X), ff.grad(loop(chain))(X))
    assert stacked(loop(ff.checkpoint(chain))) == 1 < stacked(loop(chain))


def test_arguments():
    f = ff.checkpoint(lambda x, n, *, k: x**n * k if isinstance(n, int) else 0, static_argnums=1)
    assert float(ff.grad(f)(2.0, 3, k=2.0)) == 24
    f = ff.checkpoint(static_argnames="n")(lambda x, n: x**n if isinstance(n, int) else 0)
    assert float(ff.grad(f)(2.0, n=3)) == 12
    tree = ff.grad(ff.checkpoint(lambda p: p["a"] * p["b"]))({"a": 2.0, "b": 3.0})
    assert (float(tree["a"]), float(tree["b"])) == (3, 2)
    assert ff.remat is ff.checkpoint


def test_captured_tracers_have_gradients():
    assert float(ff.grad(lambda a: ff.checkpoint(lambda x: a * fnp.sin(x) * a)(1.0))(3.0)) == (
        pytest.approx(6 * np.sin(1.0))
    )


def test_golden_text(golden):
    f = lambda x: fnp.sum(ff.checkpoint(chain)(x))  # noqa: E731
    golden("transform_checkpoint.txt", f"{ff.make_jaxpr(ff.grad(f))(fnp.ones(3))}\n")
