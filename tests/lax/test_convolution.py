"""Convolution in every layout: against its definition, values of JAX's, laws, and errors."""

import itertools
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis.strategies import data as draws
from hypothesis.strategies import sampled_from

import funcflow as ff
from funcflow import errors, lax
from funcflow.core import dtypes
from funcflow.lax import convolution_impl
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

BF16 = np.dtype(ml_dtypes.bfloat16)
NHWC = ("NHWC", "HWIO", "NHWC")
RECORDED = Path(__file__).parents[1] / "data" / "convolution.npz"


def waves(shape, dtype="float64", speed=0.7):
    """Numbers between -3 and 3 that are the same on every machine."""
    x = 3 * np.cos(speed * np.arange(1, np.prod(shape, dtype=int) + 1) ** 1.5)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * np.roll(x, 1)
    return x.reshape(shape).astype(dtype)


def spread(x, dilation):
    """`x` with zeros between the elements of its spatial axes, which come last."""
    shape = [(n - 1) * d + 1 if n else 0 for n, d in zip(x.shape[2:], dilation, strict=True)]
    out = np.zeros((*x.shape[:2], *shape), x.dtype)
    out[(..., *(slice(None, None, d) for d in dilation))] = x
    return out


def padded(x, padding):
    crops = [
        slice(max(-low, 0), extent - max(-high, 0))
        for extent, (low, high) in zip(x.shape[2:], padding, strict=True)
    ]
    added = [(max(low, 0), max(high, 0)) for low, high in padding]
    return np.pad(x[(..., *crops)], [(0, 0), (0, 0), *added])


def reference(
    lhs,
    rhs,
    window_strides,
    padding,
    lhs_dilation,
    rhs_dilation,
    dimension_numbers,
    feature_group_count,
    batch_group_count,
):
    """The definition, place by place, in the dtype of the operands."""
    lhs_layout, rhs_layout, out_layout = dimension_numbers
    spatial = "".join(letter for letter in rhs_layout if letter not in "OI")
    x = np.transpose(lhs, [lhs_layout.index(letter) for letter in "NC" + spatial])
    w = np.transpose(rhs, [rhs_layout.index(letter) for letter in "OI" + spatial])
    x, w = padded(spread(x, lhs_dilation), padding), spread(w, rhs_dilation)
    counts = [
        max(0, (n - k) // s + 1) if n >= k else 0
        for n, k, s in zip(x.shape[2:], w.shape[2:], window_strides, strict=True)
    ]
    groups = feature_group_count * batch_group_count
    axis = 0 if batch_group_count > 1 else 1
    parts = []
    for x_part, w_part in zip(np.split(x, groups, axis), np.split(w, groups), strict=True):
        out = np.zeros((len(x_part), len(w_part), *counts), x.dtype)
        for place in itertools.product(*map(range, counts)):
            box = tuple(
                slice(t * s, t * s + k)
                for t, s, k in zip(place, window_strides, w.shape[2:], strict=True)
            )
            terms = x_part[:, None, :, *box] * w_part[None]
            out[(..., *place)] = terms.reshape(len(x_part), len(w_part), -1).sum(2, dtype=x.dtype)
        parts.append(out)
    out = np.concatenate(parts, 1)
    return np.transpose(out, [("NC" + spatial).index(letter) for letter in out_layout])


def assert_close(got, expected, rtol=1e-10):
    got = np.asarray(got)
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=10 * rtol)


def fits(problem):
    """Whether negative padding removes no more than there is."""
    layout = problem.dimension_numbers
    letters = [letter for letter in layout[1] if letter not in "OI"]
    extents = [problem.lhs_shape[layout[0].index(letter)] for letter in letters]
    return all(
        (n - 1) * d + 1 + low + high >= 0 and min(low, high) > -n
        for n, d, (low, high) in zip(extents, problem.lhs_dilation, problem.padding, strict=True)
    )


# --- meaning --------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(problem=st.convolution_problems(), dtype=st.dtypes("iufc"), draw=draws())
def test_a_convolution_is_what_its_definition_says(problem, dtype, draw):
    assume(fits(problem))
    # integers small enough for every dtype, so that all results are exact
    low = 0 if dtype.kind == "u" else -2
    values = st.arrays("int32", problem.lhs_shape, min_value=low, max_value=2)
    lhs = np.asarray(draw.draw(values)).astype(dtype)
    kernels = st.arrays("int32", problem.rhs_shape, min_value=low, max_value=2)
    rhs = np.asarray(draw.draw(kernels)).astype(dtype)
    got = lax.conv_general_dilated(lhs, rhs, **problem.options)
    expected = reference(lhs.astype("c16"), rhs.astype("c16"), **problem.options)
    assert got.dtype == dtype
    np.testing.assert_array_equal(np.asarray(got).astype("c16"), expected)
    staged = ff.eval_shape(lambda x, w: lax.conv_general_dilated(x, w, **problem.options), lhs, rhs)
    assert (staged.shape, staged.dtype) == (got.shape, got.dtype)


@settings(max_examples=40, deadline=None)
@given(problem=st.convolution_problems(), dtype=sampled_from(["f8", "c16"]))
def test_convolution_obeys_the_laws(problem, dtype):
    assume(fits(problem))
    lhs, rhs = waves(problem.lhs_shape, dtype), waves(problem.rhs_shape, dtype, 0.3)
    check_laws(lambda x, w: lax.conv_general_dilated(x, w, **problem.options), (lhs, rhs))


@settings(max_examples=60, deadline=None)
@given(problem=st.convolution_problems())
def test_cutting_the_work_into_parts_does_not_matter(problem):
    assume(fits(problem))
    lhs, rhs = waves(problem.lhs_shape), waves(problem.rhs_shape, speed=0.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution_impl, "_PART", 1)
        patch.setattr(convolution_impl, "_SMALL_PART", 1)
        got = lax.conv_general_dilated(lhs, rhs, **problem.options)
    assert_close(got, reference(lhs, rhs, **problem.options))


# One for each way to go about it; (lhs, rhs, feature groups, batch groups), canonical layout.
WAYS = {
    "pointwise": ((3, 8, 5, 4), (6, 8, 1, 1), 1, 1),
    "pointwise in groups": ((3, 8, 5, 4), (6, 4, 1, 1), 2, 1),
    "windows": ((3, 6, 7, 5), (8, 6, 3, 2), 1, 1),
    "windows in groups": ((4, 6, 7, 5), (8, 3, 3, 2), 2, 1),
    "windows in batch groups": ((4, 6, 7, 5), (8, 6, 3, 2), 1, 2),
    "large windows": ((6, 3, 7, 6), (8, 3, 6, 5), 1, 1),
    "few results": ((3, 12, 7, 5), (2, 12, 3, 2), 1, 1),
    "depthwise": ((3, 6, 7, 5), (12, 1, 3, 2), 6, 1),
    "depthwise, large windows": ((6, 3, 7, 6), (6, 3, 6, 5), 1, 6),
    "one dimension": ((2, 3, 9), (4, 3, 4), 1, 1),
    "three dimensions": ((2, 3, 4, 5, 4), (4, 3, 2, 2, 3), 1, 1),
    "no dimension": ((2, 3), (4, 3), 1, 1),
}


@pytest.mark.parametrize("layout", ["NC*", "N*C", "*CN"])
@pytest.mark.parametrize("way", WAYS)
def test_each_way_in_each_layout(way, layout):
    lhs_shape, rhs_shape, feature_groups, batch_groups = WAYS[way]
    n = len(lhs_shape) - 2
    spatial = "DHW"[3 - n :]
    lhs_layout = layout.replace("*", spatial)
    rhs_layout = layout.replace("N", "O").replace("C", "I").replace("*", spatial)
    lhs = waves(lhs_shape).transpose([("NC" + spatial).index(x) for x in lhs_layout]).copy()
    rhs = waves(rhs_shape).transpose([("OI" + spatial).index(x) for x in rhs_layout]).copy()
    for strides, lhs_dilation, rhs_dilation in ((1, 1, 1), (2, 1, 1), (1, 3, 1), (2, 2, 2)):
        options = {
            "window_strides": [strides] * n,
            "padding": [(1, 2), (0, 3), (-1, 4)][:n],
            "lhs_dilation": [lhs_dilation] * n,
            "rhs_dilation": [rhs_dilation] * n,
            "dimension_numbers": (lhs_layout, rhs_layout, lhs_layout),
            "feature_group_count": feature_groups,
            "batch_group_count": batch_groups,
        }
        got = lax.conv_general_dilated(lhs, rhs, **options)
        assert_close(got, reference(lhs, rhs, **options))


# (lhs, rhs, options): layouts, groups, dilations and paddings; values and gradients from jax 0.10
CASES = [
    ((2, 3, 6, 5), (4, 3, 3, 2), {"window_strides": (1, 1), "padding": "SAME"}),
    ((2, 3, 6, 5), (4, 3, 3, 2), {"window_strides": (2, 3), "padding": "SAME"}),
    ((2, 3, 6, 5), (4, 3, 3, 2), {"window_strides": (2, 3), "padding": "SAME_LOWER"}),
    ((2, 3, 6, 5), (4, 3, 3, 2), {"window_strides": (2, 1), "padding": "VALID"}),
    (
        (2, 6, 5, 3),
        (3, 2, 3, 4),
        {"window_strides": (2, 1), "padding": ((2, -1), (0, 3)), "dimension_numbers": NHWC},
    ),
    (
        (2, 6, 5, 4),
        (3, 2, 2, 6),
        {
            "window_strides": (1, 2),
            "padding": ((1, 1), (2, 0)),
            "rhs_dilation": (1, 2),
            "dimension_numbers": NHWC,
            "feature_group_count": 2,
        },
    ),
    (
        (4, 3, 5, 2),
        (3, 2, 4, 3),
        {
            "window_strides": (2, 1),
            "padding": ((3, 1), (1, 2)),
            "lhs_dilation": (2, 1),
            "rhs_dilation": (1, 2),
            "dimension_numbers": ("NCHW", "HWOI", "CWNH"),
            "batch_group_count": 2,
        },
    ),
    (
        (3, 4, 2, 3, 2),
        (2, 2, 2, 5, 2),
        {
            "window_strides": (1, 2, 1),
            "padding": ((1, 0), (2, 2), (1, 1)),
            "lhs_dilation": (1, 2, 3),
            "dimension_numbers": ("DHNWC", "HIDOW", "NCWDH"),
        },
    ),
    ((3, 4, 7), (4, 1, 3), {"window_strides": (1,), "padding": "SAME", "feature_group_count": 4}),
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_values_and_gradients_are_jaxs(number):
    lhs_shape, rhs_shape, options = CASES[number]
    lhs, rhs = waves(lhs_shape), waves(rhs_shape, speed=0.3)
    with np.load(RECORDED) as recorded:
        out, lhs_ct, rhs_ct = (recorded[f"{part}{number}"] for part in ("out", "lhs", "rhs"))
    got, pullback = ff.vjp(lambda x, w: lax.conv_general_dilated(x, w, **options), lhs, rhs)
    assert_close(got, out)
    for ours, theirs in zip(pullback(waves(out.shape, speed=0.5)), (lhs_ct, rhs_ct), strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize(
    "lhs, rhs, padding, shape",
    [
        ((1, 2, 2), (3, 2, 3), "VALID", (1, 3, 0)),
        ((0, 2, 4), (3, 2, 3), "SAME", (0, 3, 4)),
        ((2, 0, 4), (3, 0, 3), "SAME", (2, 3, 4)),
        ((2, 2, 0), (3, 2, 1), ((1, 1),), (2, 3, 2)),
        ((2, 2, 4), (0, 2, 3), "SAME", (2, 0, 4)),
        ((2, 2, 4), (3, 2, 3), ((-2, -2),), (2, 3, 0)),
    ],
)
def test_empty_operands_and_results(lhs, rhs, padding, shape):
    x, w = np.ones(lhs), np.ones(rhs)

    def f(x, w):
        return lax.conv_general_dilated(x, w, (1,), padding)

    out, pullback = ff.vjp(f, x, w)
    assert_close(out, np.zeros(shape))
    x_ct, w_ct = pullback(np.ones(shape))
    assert_close(x_ct, np.zeros(lhs))
    assert_close(w_ct, np.zeros(rhs))


def test_nan_spreads_to_the_windows_that_hold_it():
    x = np.array([0.0, np.nan, 0, 0, np.inf, 0]).reshape(1, 1, 6)
    out = lax.conv_general_dilated(x, np.ones((1, 1, 2)), (1,), "VALID")
    np.testing.assert_array_equal(np.ravel(out), [np.nan, np.nan, 0, np.inf, np.inf])


# --- dtypes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", BF16])
def test_half_types_are_summed_in_float32(dtype):
    ones = np.ones((1, 1, 1000), dtype)
    out = lax.conv_general_dilated(ones, ones, (1,), "VALID")
    assert out.dtype == dtype and out.item() == 1000


def test_integers_wrap():
    x = np.full((1, 3, 4), 100, "int8")
    got = lax.conv_general_dilated(x, x[:, :, :2], (1,), "VALID")
    np.testing.assert_array_equal(got, np.full((1, 1, 3), 60000).astype("int8"))
    wide = lax.conv_general_dilated(x, x[:, :, :2], (1,), "VALID", preferred_element_type="int32")
    np.testing.assert_array_equal(wide, np.full((1, 1, 3), 60000, "int32"))


def test_booleans_are_joined_by_or():
    x = np.array([[[True, False, False, True]]])
    got = lax.conv_general_dilated(x, np.ones((1, 1, 2), bool), (1,), "VALID")
    assert np.asarray(got).tolist() == [[[True, False, True]]]


@pytest.mark.parametrize("dtype, preferred", [("f4", "f8"), ("f2", "f4"), ("f4", "c16")])
def test_derivatives_have_the_operands_dtype(dtype, preferred):
    x, w = waves((2, 3, 5), dtype), waves((4, 3, 2), dtype)

    def f(x, w, **options):
        return lax.conv_general_dilated(x, w, (1,), "SAME", **options)

    out, pullback = ff.vjp(lambda x, w: f(x, w, preferred_element_type=preferred), x, w)
    assert out.dtype == np.dtype(preferred)
    cts = pullback(np.ones(out.shape, preferred))
    expected = ff.vjp(f, x.astype("f8"), w.astype("f8"))[1](np.ones(out.shape))
    for ct, wide in zip(cts, expected, strict=True):
        assert ct.dtype == np.dtype(dtype)
        np.testing.assert_allclose(np.asarray(ct, "f8"), wide, rtol=1e-2, atol=1e-2)


# --- transforms -----------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("layout", [NHWC, ("CWNH", "IOWH", "HWNC")])
def test_vmap_and_gradients_in_groups(groups, layout):
    features, batch = groups
    sizes = {"N": 2 * batch, "C": 2 * features, "H": 4, "W": 3}
    kernel = {"O": 4, "I": 2, "H": 2, "W": 2}
    lhs = waves([sizes[letter] for letter in layout[0]])
    rhs = waves([kernel[letter] for letter in layout[1]], speed=0.3)
    check_laws(
        lambda x, w: lax.conv_general_dilated(
            x,
            w,
            (2, 1),
            ((1, 0), (2, 1)),
            (1, 2),
            (2, 1),
            layout,
            feature_group_count=features,
            batch_group_count=batch,
        ),
        (lhs, rhs),
    )


def test_mapping_over_no_examples():
    def f(x, w):
        return lax.conv_general_dilated(x, w, (1,), "SAME")

    x, w = np.ones((0, 2, 3, 5)), np.ones((0, 4, 3, 2))
    assert_close(ff.vmap(f)(x, w), np.zeros((0, 2, 4, 5)))
    assert_close(ff.vmap(f, in_axes=(0, None))(x, np.ones((4, 3, 2))), np.zeros((0, 2, 4, 5)))


def test_the_gradient_of_a_convolution_is_two_convolutions():
    x, w = np.ones((2, 8, 8, 3), "f4"), np.ones((3, 3, 3, 4), "f4")

    def f(x, w):
        return lax.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=NHWC)

    jaxpr = ff.make_jaxpr(lambda x, w, ct: ff.vjp(f, x, w)[1](ct))(x, w, f(x, w))
    names = [eqn.primitive.name for eqn in jaxpr.eqns]
    assert names.count("conv_general_dilated") <= 3
    assert set(names) <= {"conv_general_dilated", "rev"}


# --- functions made of it -------------------------------------------------------------------


def test_conv_and_conv_with_general_padding_are_in_canonical_layout():
    x, w = waves((2, 3, 6, 5)), waves((4, 3, 3, 2))
    expected = lax.conv_general_dilated(x, w, (1, 2), "SAME")
    assert_close(lax.conv(x, w, (1, 2), "SAME"), np.asarray(expected))
    expected = lax.conv_general_dilated(x, w, (1, 1), ((1, 1), (2, 2)), (2, 1), (1, 2))
    got = lax.conv_with_general_padding(x, w, (1, 1), ((1, 1), (2, 2)), (2, 1), (1, 2))
    assert_close(got, np.asarray(expected))


# (padding, strides, rhs_dilation, use_consistent_padding) -> the result's spatial extents for
# images of (5, 6) and windows of (3, 2); from jax 0.10
TRANSPOSED = [
    ("SAME", (1, 1), None, False, (5, 6)),
    ("SAME", (2, 3), (2, 1), False, (10, 18)),
    ("SAME", (4, 2), None, True, (20, 12)),
    ("VALID", (1, 1), (2, 1), False, (9, 7)),
    ("VALID", (2, 3), None, False, (11, 18)),
    ("VALID", (4, 2), (2, 1), False, (21, 12)),
    (((1, 1), (2, 0)), (2, 3), (2, 1), False, (7, 17)),
    (((1, 1), (2, 0)), (2, 3), (2, 1), True, (11, 15)),
    (((1, 1), (2, 0)), (4, 2), None, True, (17, 10)),
]


@pytest.mark.parametrize("number", range(len(TRANSPOSED)))
def test_conv_transpose_is_jaxs(number):
    padding, strides, dilation, consistent, extents = TRANSPOSED[number]
    out = lax.conv_transpose(
        waves((1, 5, 6, 2)),
        waves((3, 2, 2, 3), speed=0.3),
        strides,
        padding,
        rhs_dilation=dilation,
        use_consistent_padding=consistent,
    )
    assert out.shape == (1, *extents, 3)
    with np.load(RECORDED) as recorded:
        assert_close(out, recorded[f"transposed{number}"])


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_conv_transpose_with_a_transposed_kernel_is_the_derivative(padding, stride):
    w = waves((3, 2, 4), speed=0.3)  # window, input features, output features
    x = waves((2, 6 * stride + (0 if padding == "SAME" else 3 - min(stride, 3)), 2))
    layout = ("NWC", "WIO", "NWC")

    def f(x):
        return lax.conv_general_dilated(x, w, (stride,), padding, dimension_numbers=layout)

    out, pullback = ff.vjp(f, x)
    ct = waves(out.shape, speed=0.5)
    got = lax.conv_transpose(ct, w, (stride,), padding, transpose_kernel=True)
    assert_close(got, np.asarray(pullback(ct)[0]))


def test_patches_are_the_windows_elements():
    x = waves((2, 3, 5, 6))
    out = np.asarray(lax.conv_general_dilated_patches(x, (2, 3), (2, 1), "VALID"))
    assert out.shape == (2, 18, 2, 4)
    window = x[1, :, 2:4, 1:4]
    np.testing.assert_array_equal(out[1, :, 1, 1], window.ravel())
    channels_last = np.asarray(
        lax.conv_general_dilated_patches(
            x.transpose(0, 2, 3, 1), (2, 3), (2, 1), "VALID", dimension_numbers=NHWC
        )
    )
    np.testing.assert_array_equal(channels_last, out.transpose(0, 2, 3, 1))
    check_laws(lambda x: lax.conv_general_dilated_patches(x, (2, 2), (1, 2), "SAME"), (x[:1],))


def test_local_convolution_has_a_kernel_for_each_place():
    x, w = waves((2, 2, 4)), waves((3, 4, 3), speed=0.3)
    got = lax.conv_general_dilated_local(x, w, (1,), "VALID", (2,))
    expected = np.empty((2, 3, 3))
    for t in range(3):
        expected[:, :, t] = x[:, :, t : t + 2].reshape(2, 4) @ w[:, :, t].T
    assert_close(got, expected)
    with pytest.raises(errors.ShapeError, match=r"conv_general_dilated_local: the kernels"):
        lax.conv_general_dilated_local(x, w[:, :, :2], (1,), "VALID", (2,))


# --- layouts and shapes ---------------------------------------------------------------------


def test_dimension_numbers():
    numbers = lax.conv_dimension_numbers((1, 2, 3, 4), (1, 2, 3, 4), ("NHWC", "WHIO", "CWNH"))
    assert numbers == ((0, 3, 2, 1), (3, 2, 0, 1), (2, 0, 1, 3))
    assert numbers.rhs_spec == (3, 2, 0, 1)
    assert lax.conv_dimension_numbers((1, 2, 3, 4), (1, 2, 3, 4), numbers) == numbers
    assert lax.conv_dimension_numbers((1, 2, 3), (1, 2, 3), None).lhs_spec == (0, 1, 2)
    assert lax.conv_general_permutations(("NHWC", "WHIO", "CWNH")) == numbers


def test_shape_tuples_are_jaxs():
    assert lax.conv_shape_tuple((4, 2, 5, 6), (6, 2, 3, 3), (2, 1), [(1, 1), (0, 2)], 2) == (
        2,
        6,
        3,
        6,
    )
    shapes = (1, 5, 6, 2), (3, 3, 2, 7), (2, 1)
    assert lax.conv_general_shape_tuple(*shapes, "SAME", NHWC) == (1, 3, 6, 7)
    assert lax.conv_transpose_shape_tuple(*shapes, "SAME", NHWC) == (1, 10, 6, 7)
    assert lax.conv_transpose_shape_tuple(*shapes, "VALID", NHWC) == (1, 11, 8, 7)
    assert lax.conv_transpose_shape_tuple(*shapes, [(1, 1), (2, 1)], NHWC) == (1, 9, 7, 7)
    assert lax.padtype_to_pads((5, 6), (3, 3), (2, 2), "SAME") == [(1, 1), (0, 1)]
    assert lax.padtype_to_pads((5, 6), (3, 3), (2, 2), "same_lower") == [(1, 1), (1, 0)]


# --- errors ---------------------------------------------------------------------------------

X, W = np.ones((2, 4, 5, 6), "f4"), np.ones((6, 4, 3, 3), "f4")
REFUSED = [
    (errors.ArgumentError, "ambiguous with lhs_dilation", {"lhs_dilation": (2, 2)}),
    (errors.ArgumentError, "padding 'FULL' is not known", {"padding": "FULL"}),
    (errors.ShapeError, "padding needs one entry for each", {"padding": [(0, 0)]}),
    (errors.ShapeError, "window_strides needs one entry", {"window_strides": (1,)}),
    (errors.ArgumentError, r"window_strides=\(0, 1\) must be", {"window_strides": (0, 1)}),
    (errors.ArgumentError, "rhs_dilation.* must be positive", {"rhs_dilation": (1, -1)}),
    (errors.ShapeError, "removes more than there is", {"padding": ((-4, -4), (0, 0))}),
    (errors.ShapeError, "the images have 4 features", {"rhs": W[:, :3]}),
    (errors.ShapeError, "lhs has 4 dimensions and rhs 3", {"rhs": W[0]}),
    (
        errors.ShapeError,
        "6 output .* 4 groups",
        {"rhs": W[:, :1], "feature_group_count": 4},
    ),
    (errors.ShapeError, "2 images in the batch", {"batch_group_count": 3}),
    (
        errors.ArgumentError,
        "one of them 1",
        {"rhs": W[:, :2], "feature_group_count": 2, "batch_group_count": 2},
    ),
    (errors.DtypeError, "takes arguments of one dtype", {"rhs": W.astype("f8")}),
    (errors.DtypeError, "preferred_element_type=int32", {"preferred_element_type": "int32"}),
    (errors.ArgumentError, "must have three parts", {"dimension_numbers": ("NHWC", "HWIO")}),
    (errors.ArgumentError, "name 3 axes", {"dimension_numbers": ("NHC", "HWIO", "NHWC")}),
    (errors.ArgumentError, "do not name N and C", {"dimension_numbers": ("NHHC", "HWIO", "NHWC")}),
    (errors.ArgumentError, "see 'NHXC'", {"dimension_numbers": ("NHWC", "HWIO", "NHXC")}),
    (
        errors.ArgumentError,
        "no permutation",
        {"dimension_numbers": ((0, 1, 1, 2), (0, 1, 2, 3), (0, 1, 2, 3))},
    ),
]


@pytest.mark.parametrize("stage", [False, True])
@pytest.mark.parametrize("error, message, changes", REFUSED)
def test_arguments_that_do_not_fit_are_refused(error, message, changes, stage):
    options = {"window_strides": (1, 1), "padding": "SAME", **changes}
    rhs = options.pop("rhs", W)

    def call(x, w):
        return lax.conv_general_dilated(x, w, **options)

    with pytest.raises(error, match=message):
        ff.make_jaxpr(call)(X, rhs) if stage else call(X, rhs)


def test_an_unknown_padding_of_conv_transpose_is_refused():
    with pytest.raises(errors.ArgumentError, match=r"conv_transpose: the padding 'SAME_LOWER'"):
        lax.conv_transpose(np.ones((1, 4, 2)), np.ones((3, 2, 2)), (2,), "SAME_LOWER")


def test_results_have_the_promised_dtype():
    for dtype in dtypes.ALL:
        x, w = np.ones((1, 2, 3), dtype), np.ones((2, 2, 2), dtype)
        assert lax.conv_general_dilated(x, w, (1,), "SAME").dtype == dtype
