import io

import numpy as np
import pytest
from PIL import Image

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors
from funcflow.train.events import EventFile
from funcflow.train.model_graph import GraphNode


@pytest.fixture
def file(tmp_path):
    file = EventFile(tmp_path / "run", 1)
    yield file
    file.close()


def test_numbers(file, tmp_path, read_summaries):
    for step in (1, 2):
        file.scalar("loss", 0.5 * step, step)
    file.flush()
    found = read_summaries(tmp_path / "run", "simple_value")
    assert found == {("loss", 1): 0.5, ("loss", 2): 1.0}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32"])
def test_a_histogram_counts_every_element(file, tmp_path, read_summaries, dtype):
    values = fnp.array(np.random.default_rng(0).normal(size=(50, 4)) * 10, dtype)
    file.histogram("w", values, 1)
    file.flush()
    found = read_summaries(tmp_path / "run", "histo")["w", 1]
    exact = np.asarray(values).astype(np.float64).ravel()
    assert (found.min, found.max, found.num) == (exact.min(), exact.max(), 200)
    assert (found.sum, found.sum_squares) == pytest.approx((exact.sum(), (exact**2).sum()))
    assert len(found.bucket) == len(found.bucket_limit) == 30
    # up to each limit there are as many as the buckets so far count; ties lie above a limit
    for limit, count in zip(found.bucket_limit[:-1], np.cumsum(found.bucket), strict=False):
        assert (exact < limit).sum() == count
    assert found.bucket_limit[-1] == exact.max()
    assert sum(found.bucket) == 200


def test_a_histogram_of_equal_elements(file, tmp_path, read_summaries):
    file.histogram("bias", fnp.zeros(5), 1)
    file.flush()
    found = read_summaries(tmp_path / "run", "histo")["bias", 1]
    assert (found.min, found.max, sum(found.bucket)) == (0, 0, 5)


def test_elements_that_are_not_finite_are_left_out(file, tmp_path, read_summaries):
    file.histogram("some", np.array([1.0, np.nan, np.inf]), 1)
    file.histogram("none", np.array([np.nan]), 1)
    file.flush()
    ((tag, _),) = read_summaries(tmp_path / "run", "histo")
    assert tag == "some"


def test_complex_numbers_count_by_magnitude(file, tmp_path, read_summaries):
    file.histogram("z", np.array([3 + 4j, 0]), 1)
    file.flush()
    assert read_summaries(tmp_path / "run", "histo")["z", 1].max == 5


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 1), (3, 5, 3), (3, 5, 4)])
def test_an_image_comes_back(file, tmp_path, read_summaries, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    file.image("bytes", pixels, 1)
    file.image("numbers", fnp.array(pixels / 255, "float32"), 1)
    file.flush()
    for found in read_summaries(tmp_path / "run", "image").values():
        assert (found.height, found.width) == (3, 5)
        assert found.colorspace == (shape[2] if len(shape) == 3 else 1)
        decoded = np.asarray(Image.open(io.BytesIO(found.encoded_image_string)))
        np.testing.assert_array_equal(decoded, pixels.reshape(decoded.shape))


def test_brightness_has_limits(file, tmp_path, read_summaries):
    file.image("i", np.array([[-1.0, 0.5], [2.0, np.nan]]), 1)
    file.flush()
    found = read_summaries(tmp_path / "run", "image")["i", 1]
    decoded = np.asarray(Image.open(io.BytesIO(found.encoded_image_string)))
    assert decoded.tolist() == [[0, 128], [255, 0]]


@pytest.mark.parametrize("shape", [(3,), (3, 5, 2), (0, 5), (1, 3, 5, 3)])
def test_another_shape_is_no_image(file, shape):
    with pytest.raises(errors.ArgumentError, match="the image 'digit' has the shape"):
        file.image("digit", np.zeros(shape), 1)


def test_the_nodes_of_a_graph(file, tmp_path, read_run):
    from tensorboardX.proto.graph_pb2 import GraphDef

    aval = ff.typeof(fnp.ones((2, 3)))
    nodes = [GraphNode("x", "Input", (), (aval,)), GraphNode("a/sin", "sin", ("x",), (aval,))]
    file.graph(nodes)
    file.flush()
    (event,) = read_run(tmp_path / "run")
    first, second = GraphDef.FromString(event.graph_def).node
    assert (second.name, second.op, list(second.input)) == ("a/sin", "sin", ["x"])
    (shape,) = first.attr["_output_shapes"].list.shape
    assert [dim.size for dim in shape.dim] == [2, 3]
    assert first.attr["dtype"].s == b"float32"


def test_a_later_file_takes_the_place_of_its_steps(file, tmp_path, read_summaries):
    for step in (1, 2, 3):
        file.scalar("loss", 1.0, step)
    file.flush()
    later = EventFile(tmp_path / "run", 2)
    later.scalar("loss", 2.0, 2)
    later.close()
    found = read_summaries(tmp_path / "run", "simple_value")
    assert found == {("loss", 1): 1.0, ("loss", 2): 2.0}
