"""Steps of groups that are equal, extents and all, so that each is planned once.

A call with another size of a batch has many such groups, those that update parameters, and so have
equal layers. What tells a group from another, to the writer of its kernel, is in the key: its
equations and where their values lie, extents, literals, and the views it reads and writes, but for
which buffers these are views of. The step of an equal group has the same kernel and parameters, and
its own views and equations.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

from funcflow.backends.emit import GroupWriter
from funcflow.backends.kernel_memo import WITHOUT_PARAMS, Memo
from funcflow.backends.loop_ir import Kernel, Value, shown
from funcflow.backends.passes.groups import Group, Place
from funcflow.backends.program import Buffer, Step, View
from funcflow.core.jaxpr import Atom, JaxprEqn, Literal, Var

_MOST_STEPS = 4096


class _Recipe(NamedTuple):
    """A step: its views as numbers of those in the key, and equations as numbers of the group's."""

    kernel: Kernel
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    params: tuple[int, ...]
    extent: int
    grain: int
    origins: tuple[tuple[Value, int], ...]

    def step(self, group: Group, views: list[View]) -> Step:
        """The step of an equal group."""
        eqns = tuple(group.eqns)
        return Step(
            self.kernel,
            tuple([views[i] for i in self.reads]),
            tuple([views[i] for i in self.writes]),
            self.params,
            self.extent,
            self.grain,
            eqns=eqns,
            origins={value: eqns[i] for value, i in self.origins},
        )


_MEMO = Memo[_Recipe](_MOST_STEPS)


def group_steps(
    group: Group,
    virtual: Mapping[Var, JaxprEqn],
    view_of: Callable[[Atom], View],
    outputs: Mapping[Var, View],
) -> list[Step]:
    """The steps that compute a group; see `GroupWriter`."""
    described = _Described(group, virtual, view_of, outputs)
    recipe = _MEMO.get(described.key) if described.key is not None else None
    if recipe is not None:
        return [recipe.step(group, described.views)]
    steps = GroupWriter(group, virtual, view_of, outputs).steps()
    if described.key is not None and len(steps) == 1:
        found = _recipe(steps[0], group, described.views)
        if found is not None:
            _MEMO.put(described.key, found)
    return steps


class _Described:
    """A group's key, and the views in it. There is no key if it computes what others need again."""

    def __init__(
        self,
        group: Group,
        virtual: Mapping[Var, JaxprEqn],
        view_of: Callable[[Atom], View],
        outputs: Mapping[Var, View],
    ) -> None:
        self.key: Hashable = None
        self.views: list[View] = []
        self._buffers: dict[Buffer, int] = {}
        axes = {axis: i for i, axis in enumerate(group.extents)}
        places: dict[Place, Place] = {}

        def numbered(place: Place) -> Place:
            found = places.get(place)
            if found is None:
                found = places[place] = tuple([None if a is None else axes[a] for a in place])
            return found

        numbers: dict[Var, int] = {}
        items: list[Hashable] = [
            tuple(group.extents.values()),
            tuple(sorted([axes[a] for a in group.reduced])),
            group.blocked,
        ]
        for eqn in group.eqns:
            items.append(eqn.primitive)
            for v in eqn.invars:
                if isinstance(v, Literal):
                    items.append((v.val.tobytes(), v.val.dtype))
                    continue
                number = numbers.get(v)
                if number is None:
                    if v in virtual:
                        return
                    number = numbers[v] = len(numbers)
                    items.append((v.aval.shape, v.aval.dtype, *self._view(view_of(v))))
                items.append(number)
            if eqn.params and eqn.primitive.name not in WITHOUT_PARAMS:
                items.append(tuple([(k, shown(value)) for k, value in eqn.params.items()]))
            reduced = group.operand_places.get(eqn)
            if reduced is not None:
                items.append((numbered(reduced), eqn.params["axes"]))
            for v in eqn.outvars:
                numbers[v] = len(numbers)
                items.append(v.aval.dtype)
                items.append(numbered(group.places[v]))
        for v, view in outputs.items():
            items.append(numbers[v])
            items.append(self._view(view))
        self.key = tuple(items)

    def _view(self, view: View) -> tuple[Hashable, ...]:
        self.views.append(view)
        number = self._buffers.setdefault(view.buffer, len(self._buffers))
        return number, view.dtype, view.shape, view.strides, view.offset


def _recipe(step: Step, group: Group, views: list[View]) -> _Recipe | None:
    """What a step is made of, by number; None if it is more than a kernel's call."""
    kernel, numbers = step.work, {view: i for i, view in enumerate(views)}
    order = {eqn: i for i, eqn in enumerate(group.eqns)}
    if not isinstance(kernel, Kernel) or not all(v in numbers for v in (*step.reads, *step.writes)):
        return None
    return _Recipe(
        kernel,
        tuple([numbers[v] for v in step.reads]),
        tuple([numbers[v] for v in step.writes]),
        step.params,
        step.extent,
        step.grain,
        tuple([(value, order[eqn]) for value, eqn in step.origins.items()]),
    )
