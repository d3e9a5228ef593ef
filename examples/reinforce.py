"""A pole balanced on a cart by REINFORCE: episodes, gradients and updates in compiled code.

The cart and pole are the equations of A. G. Barto, R. S. Sutton and C. W. Anderson, "Neuronlike
adaptive elements that can solve difficult learning control problems" (1983), with the numbers of
Gymnasium's CartPole-v1: in each step of 0.02 s the cart is pushed by 10 N to the left or right; an
episode ends when the cart is 2.4 m off or the pole 12 degrees, or after 500 steps. The return is
the number of steps.

An episode is one `scan`; `vmap` makes it many episodes side by side. The policy is a network that
gives the log probabilities of both pushes, and is changed along the gradient of

    sum_t log p(a_t | s_t) (G_t - b(s_t)),

where G_t is the sum of discounted rewards from step t on, and the baseline b, another network,
learns to predict it (R. J. Williams, "Simple statistical gradient-following algorithms for
connectionist reinforcement learning", Machine Learning 8, 1992). A training step, with all its
episodes, is one jitted function. The task counts as solved if 100 episodes have a mean return of
475 or more.

    python examples/reinforce.py [--full] [--picture FILE]
"""

import argparse
import math
from typing import NamedTuple

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax, losses, nn, optim, random

STEPS = 500
SOLVED = 475
DISCOUNT = 0.99


# --- the cart and the pole ------------------------------------------------------------------------


def pushed(state, action):
    """The state after a step: position, velocity, angle and angular velocity."""
    gravity, cart, pole, half, force, tau = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
    _, speed, angle, spin = state
    sine, cosine = fnp.sin(angle), fnp.cos(angle)
    push = fnp.where(action == 1, force, -force)
    thrust = (push + pole * half * spin**2 * sine) / (cart + pole)
    lever = half * (4 / 3 - pole * cosine**2 / (cart + pole))
    turning = (gravity * sine - cosine * thrust) / lever
    moving = thrust - pole * half * turning * cosine / (cart + pole)
    return state + tau * fnp.stack([speed, moving, spin, turning])


def check_equations():
    """Compare with what Lagrange's equations say of a uniform rod that is hinged to a cart."""

    def lagrangian(place, speed):
        (_, angle), (along, spin) = place, speed
        sideways, upwards = along + 0.5 * spin * fnp.cos(angle), -0.5 * spin * fnp.sin(angle)
        turning = 0.1 * 0.5**2 / 3 * spin**2
        kinetic = 1.0 * along**2 + 0.1 * (sideways**2 + upwards**2) + turning
        return 0.5 * kinetic - 0.1 * 9.8 * 0.5 * fnp.cos(angle)

    place, speed = fnp.array([0.3, 0.15], fnp.float64), fnp.array([-0.7, 1.2], fnp.float64)
    mass = ff.hessian(lagrangian, argnums=1)(place, speed)
    change = ff.jacfwd(ff.grad(lagrangian, argnums=1), argnums=0)(place, speed) @ speed
    force = fnp.array([10.0, 0.0], fnp.float64) + ff.grad(lagrangian)(place, speed)
    acceleration = fnp.linalg.solve(mass, force - change)
    state = fnp.stack([place, speed], 1).ravel()
    np.testing.assert_allclose((pushed(state, 1) - state)[1::2] / 0.02, acceleration, rtol=1e-9)


def fallen(state):
    """Whether the cart is off its track or the pole has fallen."""
    return (abs(state[0]) > 2.4) | (abs(state[2]) > math.radians(12))


class Episode(NamedTuple):
    """What happened, step by step; `alive` is 1 in the steps that count."""

    states: ff.Array
    actions: ff.Array
    alive: ff.Array


def play(policy, key):
    """One episode; it runs for all steps, and those after its end do not count."""
    for_start, for_noise = random.split(key)
    noise = random.gumbel(for_noise, (STEPS, 2))  # the largest of log p + noise is drawn with p

    def step(carry, noise):
        state, alive = carry
        action = fnp.argmax(policy(state) + noise)
        new = pushed(state, action)
        return (new, alive & ~fallen(new)), Episode(state, action, alive.astype(fnp.float32))

    first = random.uniform(for_start, (4,), minval=-0.05, maxval=0.05)
    return lax.scan(step, (first, fnp.bool_(True)), noise)[1]


# --- the agent ------------------------------------------------------------------------------------


def network(outputs, key):
    """A network from states to `outputs` numbers."""
    keys = random.split(key)
    return nn.Sequential(
        [nn.Linear(4, 32, key=keys[0]), nn.tanh, nn.Linear(32, outputs, key=keys[1])]
    )


def returns(alive):
    """The discounted sums of the rewards, which are 1 for each step that counts, from each step."""

    def back(later, reward):
        total = reward * (1 + DISCOUNT * later)
        return total, total

    return lax.scan(back, fnp.zeros(len(alive)), alive.T, reverse=True)[1].T


def loss(agent, episodes):
    """What has REINFORCE's gradient for the policy, and the squared error of the baseline."""
    goal = returns(episodes.alive)
    expected = agent["baseline"](episodes.states)[..., 0]
    advantage = lax.stop_gradient(goal - expected)
    surprise = losses.softmax_cross_entropy_with_integer_labels(
        agent["policy"](episodes.states), episodes.actions
    )
    terms = surprise * advantage + losses.l2_loss(expected, goal)
    return (terms * episodes.alive).sum() / episodes.alive.sum()


def make_step(optimizer, count):
    """The training step: `count` episodes and an update."""

    @ff.jit(donate_argnums=(0, 1))
    def step(agent, opt_state, key):
        keys = random.split(key, count)
        episodes = ff.vmap(play, in_axes=(None, 0))(agent["policy"], keys)
        gradient = ff.grad(loss)(agent, episodes)
        updates, opt_state = optimizer.update(gradient, opt_state, agent)
        return optim.apply_updates(agent, updates), opt_state, episodes.alive.sum(1).mean()

    return step


@ff.jit
def test(policy, keys):
    """The returns of an episode for each key."""
    return ff.vmap(play, in_axes=(None, 0))(policy, keys).alive.sum(1)


def learn(key, updates, count):
    """An agent's policy after some updates of `count` episodes each, and its mean returns."""
    keys = random.split(key, 3)
    agent = {"policy": network(2, keys[0]), "baseline": network(1, keys[1])}
    optimizer = optim.adam(optim.linear_schedule(1e-2, 1e-3, updates))
    opt_state, step = optimizer.init(agent), make_step(optimizer, count)
    curve = []
    for update in range(updates):
        agent, opt_state, mean = step(agent, opt_state, random.fold_in(keys[2], update))
        curve.append(float(mean))
    return agent["policy"], curve


def main(full, picture):
    """Let one agent learn, or five, and test each in episodes of its own."""
    updates, count, agents = (300, 64, 5) if full else (120, 16, 1)
    check_equations()
    curves, tests = [], []
    for number in range(agents):
        for_training, for_test = random.split(random.fold_in(random.key(0), number))
        policy, curve = learn(for_training, updates, count)
        found = np.asarray(test(policy, random.split(for_test, 100)))
        milestones = ", ".join(f"{r:.0f}" for r in curve[9 :: updates // 10])
        print(f"agent {number}: mean returns while learning {milestones}")
        print(f"  100 test episodes: mean return {found.mean():.1f}, least {found.min():.0f}")
        curves.append(curve)
        tests.append(found.mean())
    if picture is not None:
        draw_picture(curves, picture)
    goal = SOLVED if full else 300
    assert min(tests) >= goal, f"an agent has a mean return below {goal}"


def draw_picture(curves, path):
    """The mean return of each update, a line for each agent."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(layout="constrained")
    axis.plot(np.transpose(curves))
    axis.axhline(SOLVED, color="gray", linestyle="dotted")
    axis.set(xlabel="update", ylabel="mean return")
    figure.savefig(path)
    print(f"picture: {path}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="five agents, ten times the episodes")
    parser.add_argument("--picture", metavar="FILE", help="where to draw the returns")
    args = parser.parse_args()
    main(args.full, args.picture)
