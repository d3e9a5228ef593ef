"""The operations that programs are made of: JAX's `lax`, one family per file.

The functions here are strict about dtypes (arguments of one dtype; Python scalars take the
array's) and broadcast as NumPy does. `funcflow.numpy` promotes.
"""

from typing import TYPE_CHECKING

from funcflow.lax import linalg
from funcflow.lax.arithmetic import (
    abs,
    abs_p,
    add,
    add_p,
    cbrt,
    cbrt_p,
    div,
    div_p,
    integer_pow,
    integer_pow_p,
    max,
    max_p,
    min,
    min_p,
    mul,
    mul_p,
    mulhi,
    mulhi_p,
    neg,
    neg_p,
    reciprocal,
    rem,
    rem_p,
    rsqrt,
    rsqrt_p,
    sign,
    sign_p,
    sqrt,
    sqrt_p,
    square,
    square_p,
    sub,
    sub_p,
)
from funcflow.lax.bitwise import (
    and_p,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    clz,
    clz_p,
    not_p,
    or_p,
    population_count,
    population_count_p,
    shift_left,
    shift_left_p,
    shift_right_arithmetic,
    shift_right_arithmetic_p,
    shift_right_logical,
    shift_right_logical_p,
    xor_p,
)
from funcflow.lax.casting import (
    bitcast_convert_type,
    bitcast_convert_type_p,
    convert_element_type,
    convert_element_type_p,
    copy,
    copy_p,
    optimization_barrier,
    optimization_barrier_p,
    reduce_precision,
    reduce_precision_p,
    stop_gradient,
    stop_gradient_p,
)
from funcflow.lax.collective import pmax, pmax_p, pmean, pmin, pmin_p, psum, psum_p
from funcflow.lax.comparison import (
    clamp,
    clamp_p,
    eq,
    eq_p,
    ge,
    ge_p,
    gt,
    gt_p,
    le,
    le_p,
    lt,
    lt_p,
    ne,
    ne_p,
    select,
    select_n,
    select_n_p,
)
from funcflow.lax.complex import (
    complex,
    complex_p,
    conj,
    conj_p,
    imag,
    imag_p,
    real,
    real_p,
)
from funcflow.lax.cond import cond, cond_p, switch
from funcflow.lax.convolution import conv_general_dilated, conv_general_dilated_p
from funcflow.lax.convolution_shapes import (
    ConvDimensionNumbers,
    ConvGeneralDilatedDimensionNumbers,
    conv_dimension_numbers,
    conv_general_permutations,
    conv_general_shape_tuple,
    conv_shape_tuple,
    conv_transpose_shape_tuple,
    padtype_to_pads,
)
from funcflow.lax.convolution_variants import (
    conv,
    conv_general_dilated_local,
    conv_general_dilated_patches,
    conv_transpose,
    conv_with_general_padding,
)
from funcflow.lax.creation import (
    broadcasted_iota,
    empty,
    full,
    full_like,
    iota,
    iota_p,
)
from funcflow.lax.cumulative import (
    cumlogsumexp,
    cumlogsumexp_p,
    cummax,
    cummax_p,
    cummin,
    cummin_p,
    cumprod,
    cumprod_p,
    cumsum,
    cumsum_p,
)
from funcflow.lax.dimension_numbers import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
)
from funcflow.lax.dot import (
    DotDimensionNumbers,
    batch_matmul,
    dot,
    dot_general,
    dot_general_p,
)
from funcflow.lax.dynamic import (
    dynamic_index_in_dim,
    dynamic_slice,
    dynamic_slice_in_dim,
    dynamic_slice_p,
    dynamic_update_index_in_dim,
    dynamic_update_slice,
    dynamic_update_slice_in_dim,
    dynamic_update_slice_p,
)
from funcflow.lax.exchange import (
    all_gather,
    all_gather_p,
    all_to_all,
    all_to_all_p,
    pbroadcast,
    ppermute,
    ppermute_p,
    pshuffle,
    psum_scatter,
    psum_scatter_p,
    pswapaxes,
)
from funcflow.lax.fft import FftType, fft, fft_p
from funcflow.lax.indexing import (
    gather,
    gather_p,
    index_take,
    scatter_add,
    scatter_add_p,
)
from funcflow.lax.joining import (
    concatenate,
    concatenate_p,
    split,
    split_p,
    stack,
    tile,
    unstack,
)
from funcflow.lax.loops import associative_scan, fori_loop, map
from funcflow.lax.named_axes import axis_index, axis_index_p, axis_size
from funcflow.lax.precision import Precision, PrecisionLike
from funcflow.lax.prng import threefry2x32, threefry2x32_p
from funcflow.lax.random_gamma import random_gamma_grad
from funcflow.lax.reduction import (
    argmax,
    argmax_p,
    argmin,
    argmin_p,
    reduce,
    reduce_and,
    reduce_and_p,
    reduce_max,
    reduce_max_p,
    reduce_min,
    reduce_min_p,
    reduce_or,
    reduce_or_p,
    reduce_prod,
    reduce_prod_p,
    reduce_xor,
    reduce_xor_p,
)
from funcflow.lax.rounding import (
    RoundingMethod,
    ceil,
    ceil_p,
    floor,
    floor_p,
    is_finite,
    is_finite_p,
    nextafter,
    nextafter_p,
    round,
    round_p,
)
from funcflow.lax.scan import scan, scan_p
from funcflow.lax.scatter_products import (
    scatter_apply,
    scatter_mul,
    scatter_mul_p,
)
from funcflow.lax.scattering import (
    scatter,
    scatter_max,
    scatter_max_p,
    scatter_min,
    scatter_min_p,
    scatter_p,
    scatter_sub,
    scatter_sub_p,
)
from funcflow.lax.shape import (
    broadcast,
    broadcast_in_dim,
    broadcast_in_dim_p,
    broadcast_shapes,
    broadcast_to,
    broadcast_to_rank,
    collapse,
    expand_dims,
    reduce_sum,
    reduce_sum_p,
    reshape,
    reshape_p,
    squeeze,
    transpose,
    transpose_p,
)
from funcflow.lax.slicing import (
    index_in_dim,
    pad,
    pad_p,
    rev,
    rev_p,
    slice,
    slice_in_dim,
    slice_p,
)
from funcflow.lax.sorting import (
    approx_max_k,
    approx_min_k,
    sort,
    sort_key_val,
    sort_p,
    top_k,
    top_k_p,
)
from funcflow.lax.special import (
    digamma,
    digamma_p,
    erf,
    erf_inv,
    erf_inv_p,
    erf_p,
    erfc,
    erfc_p,
    lgamma,
    lgamma_p,
    polygamma,
    polygamma_p,
)
from funcflow.lax.transcendental import (
    acos,
    acos_p,
    acosh,
    acosh_p,
    asin,
    asin_p,
    asinh,
    asinh_p,
    atan,
    atan2,
    atan2_p,
    atan_p,
    atanh,
    atanh_p,
    cos,
    cos_p,
    cosh,
    cosh_p,
    exp,
    exp2,
    exp2_p,
    exp_p,
    expm1,
    expm1_p,
    log,
    log1p,
    log1p_p,
    log_p,
    logistic,
    logistic_p,
    pow,
    pow_p,
    sin,
    sin_p,
    sinh,
    sinh_p,
    tan,
    tan_p,
    tanh,
    tanh_p,
)
from funcflow.lax.while_binding import while_p
from funcflow.lax.while_loop import while_loop
from funcflow.lax.window import (
    reduce_window,
    reduce_window_max_p,
    reduce_window_min_p,
    reduce_window_sum_p,
    select_and_gather_add,
    select_and_scatter_add,
)
from funcflow.lax.window_shapes import reduce_window_shape_tuple

if TYPE_CHECKING:  # made of transforms, hence installed by `funcflow`
    from funcflow.transforms.implicit import custom_linear_solve, custom_root

# fmt: off
__all__ = [
    "custom_linear_solve", "custom_root",
    # families
    "linalg",
    # arithmetic
    "abs", "abs_p", "add", "add_p", "cbrt", "cbrt_p", "div", "div_p",
    "integer_pow", "integer_pow_p", "max", "max_p", "min", "min_p", "mul", "mul_p", "mulhi",
    "mulhi_p", "neg", "neg_p", "reciprocal", "rem", "rem_p", "rsqrt", "rsqrt_p", "sign", "sign_p",
    "sqrt", "sqrt_p", "square", "square_p", "sub", "sub_p",
    # bitwise
    "and_p", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "clz", "clz_p", "not_p",
    "or_p", "population_count", "population_count_p", "shift_left", "shift_left_p",
    "shift_right_arithmetic", "shift_right_arithmetic_p", "shift_right_logical",
    "shift_right_logical_p", "xor_p",
    # casting
    "bitcast_convert_type", "bitcast_convert_type_p", "convert_element_type",
    "convert_element_type_p", "copy", "copy_p", "optimization_barrier", "optimization_barrier_p",
    "reduce_precision", "reduce_precision_p", "stop_gradient", "stop_gradient_p",
    # collective
    "pmax", "pmax_p", "pmean", "pmin", "pmin_p", "psum", "psum_p",
    # comparison
    "clamp", "clamp_p", "eq", "eq_p", "ge", "ge_p", "gt", "gt_p", "le", "le_p", "lt", "lt_p", "ne",
    "ne_p", "select", "select_n", "select_n_p",
    # complex
    "complex", "complex_p", "conj", "conj_p", "imag", "imag_p", "real", "real_p",
    # cond
    "cond", "cond_p", "switch",
    # convolution
    "conv_general_dilated", "conv_general_dilated_p",
    # convolution_shapes
    "ConvDimensionNumbers", "ConvGeneralDilatedDimensionNumbers", "conv_dimension_numbers",
    "conv_general_permutations", "conv_general_shape_tuple", "conv_shape_tuple",
    "conv_transpose_shape_tuple", "padtype_to_pads",
    # convolution_variants
    "conv", "conv_general_dilated_local", "conv_general_dilated_patches", "conv_transpose",
    "conv_with_general_padding",
    # creation
    "broadcasted_iota", "empty", "full", "full_like", "iota", "iota_p",
    # cumulative
    "cumlogsumexp", "cumlogsumexp_p", "cummax", "cummax_p", "cummin", "cummin_p", "cumprod",
    "cumprod_p", "cumsum", "cumsum_p",
    # dimension_numbers
    "GatherDimensionNumbers", "GatherScatterMode", "ScatterDimensionNumbers",
    # dot
    "DotDimensionNumbers", "batch_matmul", "dot", "dot_general", "dot_general_p",
    # dynamic
    "dynamic_index_in_dim", "dynamic_slice", "dynamic_slice_in_dim", "dynamic_slice_p",
    "dynamic_update_index_in_dim", "dynamic_update_slice", "dynamic_update_slice_in_dim",
    "dynamic_update_slice_p",
    # exchange
    "all_gather", "all_gather_p", "all_to_all", "all_to_all_p", "pbroadcast", "ppermute",
    "ppermute_p", "pshuffle", "psum_scatter", "psum_scatter_p", "pswapaxes",
    # fft
    "FftType", "fft", "fft_p",
    # indexing
    "gather", "gather_p", "index_take", "scatter_add", "scatter_add_p",
    # joining
    "concatenate", "concatenate_p", "split", "split_p", "stack", "tile", "unstack",
    # loops
    "associative_scan", "fori_loop", "map",
    # named_axes
    "axis_index", "axis_index_p", "axis_size",
    # precision
    "Precision", "PrecisionLike",
    # prng
    "threefry2x32", "threefry2x32_p",
    # random_gamma
    "random_gamma_grad",
    # reduction
    "argmax", "argmax_p", "argmin", "argmin_p", "reduce", "reduce_and", "reduce_and_p",
    "reduce_max", "reduce_max_p", "reduce_min", "reduce_min_p", "reduce_or", "reduce_or_p",
    "reduce_prod", "reduce_prod_p", "reduce_xor", "reduce_xor_p",
    # rounding
    "RoundingMethod", "ceil", "ceil_p", "floor", "floor_p", "is_finite", "is_finite_p",
    "nextafter", "nextafter_p", "round", "round_p",
    # scan
    "scan", "scan_p",
    # scatter_products
    "scatter_apply", "scatter_mul", "scatter_mul_p",
    # scattering
    "scatter", "scatter_max", "scatter_max_p", "scatter_min", "scatter_min_p", "scatter_p",
    "scatter_sub", "scatter_sub_p",
    # shape
    "broadcast", "broadcast_in_dim", "broadcast_in_dim_p", "broadcast_shapes", "broadcast_to",
    "broadcast_to_rank",
    "collapse", "expand_dims", "reduce_sum", "reduce_sum_p", "reshape", "reshape_p", "squeeze",
    "transpose", "transpose_p",
    # slicing
    "index_in_dim", "pad", "pad_p", "rev", "rev_p", "slice", "slice_in_dim", "slice_p",
    # sorting
    "approx_max_k", "approx_min_k", "sort", "sort_key_val", "sort_p", "top_k", "top_k_p",
    # special
    "digamma", "digamma_p", "erf", "erf_inv", "erf_inv_p", "erf_p", "erfc", "erfc_p", "lgamma",
    "lgamma_p", "polygamma", "polygamma_p",
    # transcendental
    "acos", "acos_p", "acosh", "acosh_p", "asin", "asin_p", "asinh", "asinh_p", "atan", "atan2",
    "atan2_p", "atan_p", "atanh", "atanh_p", "cos", "cos_p", "cosh", "cosh_p", "exp", "exp2",
    "exp2_p", "exp_p", "expm1", "expm1_p", "log", "log1p", "log1p_p", "log_p", "logistic",
    "logistic_p", "pow", "pow_p", "sin", "sin_p", "sinh", "sinh_p", "tan", "tan_p", "tanh",
    "tanh_p",
    # while_loop
    "while_loop", "while_p",
    # window
    "reduce_window", "reduce_window_max_p", "reduce_window_min_p", "reduce_window_shape_tuple",
    "reduce_window_sum_p", "select_and_gather_add", "select_and_scatter_add",
]
# fmt: on
