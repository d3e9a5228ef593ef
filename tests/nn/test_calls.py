import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.core.errors import ShapeError

K1, K2 = ff.random.split(ff.random.key(0))


class Net(nn.Module):
    blocks: list[nn.Module]
    head: nn.Linear

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@pytest.fixture
def net():
    return Net([nn.Residual(nn.Linear(3, 3, key=K1)), nn.Flatten()], nn.Linear(4, 1, key=K2))


def test_an_error_names_the_layer_it_comes_from(net):
    with pytest.raises(ShapeError, match="takes 4 features") as caught:
        net(fnp.ones((2, 3)))
    assert caught.value.__notes__ == ["in Net.head (Linear)"]
    with pytest.raises(ShapeError, match="takes 3 features") as caught:
        net(fnp.ones((2, 5)))
    assert caught.value.__notes__ == ["in Net.blocks[0].branch (Linear)"]


def test_the_layer_is_named_under_transforms(net):
    with pytest.raises(ShapeError) as caught:
        ff.jit(ff.grad(lambda m, x: m(x).sum()))(net, fnp.ones((2, 3)))
    assert caught.value.__notes__ == ["in Net.head (Linear)"]


def test_calls_are_watched_inner_ones_first(net):
    calls: list[nn.ModuleCall] = []
    fitting = nn.tree_at(lambda m: m.head, net, nn.Linear(3, 1, key=K2))
    with nn.watch_calls(calls.append):
        y = fitting(fnp.ones((2, 3)))
    paths = [ff.tree_util.keystr(call.path) for call in calls]
    assert paths == [".blocks[0].branch", ".blocks[0]", ".blocks[1]", ".head", ""]
    assert calls[-1].output is y
    fitting(fnp.ones((2, 3)))
    assert len(calls) == 5


def test_a_method_of_the_base_is_the_same_call():
    class Base(nn.Module):
        def __call__(self, x):
            return x

    class Derived(Base):
        def __call__(self, x):
            return super().__call__(x)

    calls: list[nn.ModuleCall] = []
    with nn.watch_calls(calls.append):
        Derived()(1)
    assert len(calls) == 1
