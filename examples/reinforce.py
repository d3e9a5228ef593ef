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
DISCOUNT = 0.99


# --- the cart and the pole ------------------------------------------------------------------------


def push(state, action):
    """The state after a step: position, velocity, angle and angular velocity."""
    gravity, cart, pole, half, force, tau = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
    x, speed, angle, spin = state
    sine, cosine = fnp.sin(angle), fnp.cos(angle)
    pressure = (fnp.where(action == 1, force, -force) + pole * half * spin**2 * sine) / (
        cart + pole
    )
    lever = half * (4 / 3 - pole * cosine**2 / (cart + pole))
    turning = (gravity * sine - cosine * pressure) / lever
    moving = pressure - pole * half * turning * cosine / (cart + pole)
    return fnp.stack([x + tau * speed, speed + tau * moving, angle + tau * spin, spin + tau * turning])


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
    start, *keys = random.split(key, 2)
    noise = random.gumbel(keys[0], (STEPS, 2))

    def step(carry, noise):
        state, alive = carry
        action = fnp.argmax(policy(state) + noise)
        new = push(state, action)
        return (new, alive & ~fallen(new)), Episode(state, action, alive.astype(fnp.float32))

    first = random.uniform(start, (4,), minval=-0.05, maxval=0.05)
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


def main(full, picture):
    """Learn, and test in new episodes."""
    keys = random.split(random.key(0), 4)
    agent = {"policy": network(2, keys[0]), "baseline": network(1, keys[1])}
    updates, count = (400, 32) if full else (150, 16)
    optimizer = optim.adam(1e-2)
    opt_state, step = optimizer.init(agent), make_step(optimizer, count)
    curve = []
    for update in range(updates):
        agent, opt_state, mean = step(agent, opt_state, random.fold_in(keys[2], update))
        curve.append(float(mean))
        if update % 10 == 9:
            print(f"update {update + 1}: mean return {np.mean(curve[-10:]):.1f}")
    found = np.asarray(test(agent["policy"], random.split(keys[3], 100)))
    print(f"100 test episodes: mean return {found.mean():.1f}, least {found.min():.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="until the task is solved")
    parser.add_argument("--picture", metavar="FILE", help="where to write the learning curve")
    args = parser.parse_args()
    main(args.full, args.picture)
