"""Logical devices, and moving data."""

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp


def test_the_number_of_devices_is_a_setting():
    with ff.config(num_cpu_devices=3):
        assert ff.device_count() == ff.local_device_count() == len(ff.local_devices()) == 3
        assert [repr(d) for d in ff.devices()][2] == "CpuDevice(id=2)"
    assert ff.device_count() >= 1


def test_one_process_on_the_cpu():
    assert (ff.default_backend(), ff.process_index(), ff.process_count()) == ("cpu", 0, 1)


def test_moving_data():
    source = np.ones(2)
    put = ff.device_put({"a": source, "n": 3}, ff.devices()[0])
    source[:] = 5
    np.testing.assert_array_equal(put["a"], np.ones(2))
    assert isinstance(put["a"], ff.Array) and isinstance(put["n"], ff.Array)
    got = ff.device_get({"a": put["a"], "text": "t"})
    assert type(got["a"]) is np.ndarray and got["text"] == "t"
    assert ff.block_until_ready(put) is put
    x = fnp.ones(2)
    assert ff.grad(lambda x: fnp.sum(ff.device_put(x)))(x).shape == (2,)
