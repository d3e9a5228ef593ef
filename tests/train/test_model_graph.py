import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.train.model_graph import model_graph, scope

X = ff.ShapeDtypeStruct((8, 2), "float32")


def linear(n):
    return nn.Linear(2, 2, key=ff.random.key(n))


class Twice(nn.Module):
    """Calls one layer twice, with an operation of its own between."""

    inner: nn.Linear

    def __call__(self, x):
        return self.inner(fnp.sin(self.inner(x)))


def inputs_of(nodes):
    return {node.name: node.inputs for node in nodes}


def test_operations_stand_within_their_modules(problem):
    nodes = model_graph(problem.model, X)
    names = [node.name for node in nodes]
    assert len(set(names)) == len(names)
    assert names[:3] == ["layers[0]/kernel", "layers[0]/bias", "layers[1]/scale"]
    inputs = inputs_of(nodes)
    assert inputs["layers[0]/dot_general"] == ("input", "layers[0]/kernel")
    assert inputs["layers[0]/add"] == ("layers[0]/dot_general", "layers[0]/bias")
    assert inputs["layers[1]/sub"] == ("layers[0]/add", "layers[1]/mean")
    assert inputs["output"] == ("layers[4]/add",)
    assert not any(name.startswith("layers[3]") for name in names)  # dropout does nothing


def test_each_node_comes_after_its_inputs(problem):
    known = set()
    for node in model_graph(problem.model, X):
        assert known.issuperset(node.inputs)
        known.add(node.name)


def test_shapes_and_kinds(problem):
    nodes = {node.name: node for node in model_graph(problem.model, X)}
    assert nodes["input"].op == "Input"
    assert nodes["layers[0]/kernel"].op == "Parameter"
    assert nodes["layers[0]/dot_general"].op == "dot_general"
    assert [str(aval) for aval in nodes["layers[0]/dot_general"].outputs] == ["f32[8,16]"]
    assert nodes["output"].outputs == ()


def test_a_module_that_is_called_twice():
    inputs = inputs_of(model_graph(Twice(linear(0)), X))
    assert inputs["sin"] == ("inner/add",)
    assert inputs["inner/dot_general_1"] == ("sin", "inner/kernel")
    assert inputs["output"] == ("inner/add_1",)


def test_modules_within_modules():
    model = nn.Sequential([nn.Residual(nn.Sequential([linear(0), fnp.sin]))])
    inputs = inputs_of(model_graph(model, X))
    branch = "layers[0]/branch/layers"
    assert inputs[f"{branch}[0]/add"] == (f"{branch}[0]/dot_general", f"{branch}[0]/bias")
    assert inputs["layers[0]/add"] == ("input", f"{branch}[1]/sin")


def test_what_is_in_a_loop_is_one_node():
    def model(x):
        return ff.lax.scan(lambda carry, _: (layer(carry), None), x, None, length=3)[0]

    layer = linear(0)
    inputs = inputs_of(model_graph(model, X))
    assert inputs == {
        "constant": (),
        "constant_1": (),
        "input": (),
        "scan": ("constant", "constant_1", "input"),
        "output": ("scan",),
    }


def test_a_call_has_the_name_of_its_function():
    @ff.jit
    def doubled(x):
        return 2 * x

    assert "doubled" in inputs_of(model_graph(doubled, X))


def test_several_inputs_and_outputs():
    def model(x, pair):
        return fnp.split(x + pair["a"], 2, axis=1)

    inputs = inputs_of(model_graph(model, X, {"a": X}))
    assert inputs["add"] == ("input_0", "input_1['a']")
    assert len([name for name in inputs if name.startswith("output")]) == 2


def test_outputs_of_one_operation_are_told_apart():
    def model(x):
        values, places = ff.lax.top_k(x, 1)
        return values, places

    nodes = model_graph(model, X)
    (maker,) = (node.name for node in nodes if len(node.outputs) == 2)
    inputs = inputs_of(nodes)
    assert inputs["output"] == (maker,)
    assert inputs["output_1"] == (f"{maker}:1",)


def test_scopes_are_key_paths():
    tree = {"a": [linear(0)], "b": {"c": 1.0}}
    found = [scope(path) for path, _ in ff.tree_util.tree_leaves_with_path(tree)]
    assert found == ["['a'][0]/kernel", "['a'][0]/bias", "['b']['c']"]
