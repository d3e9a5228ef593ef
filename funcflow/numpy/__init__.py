"""The functions and types of `jax.numpy`, over `funcflow.lax`."""

from funcflow.core.array import Array as ndarray
from funcflow.core.array import install_methods
from funcflow.numpy import fft, linalg
from funcflow.numpy.arithmetic import (
    abs,
    absolute,
    add,
    cbrt,
    clip,
    divide,
    divmod,
    fabs,
    float_power,
    floor_divide,
    fmax,
    fmin,
    fmod,
    gcd,
    hypot,
    lcm,
    maximum,
    minimum,
    mod,
    multiply,
    negative,
    positive,
    pow,
    power,
    reciprocal,
    remainder,
    sign,
    sqrt,
    square,
    subtract,
    true_divide,
)
from funcflow.numpy.array_methods import METHODS
from funcflow.numpy.averages import average, mean, std, var
from funcflow.numpy.bitwise import (
    bitwise_and,
    bitwise_count,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_not,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    invert,
    left_shift,
    right_shift,
)
from funcflow.numpy.complex_parts import (
    angle,
    conj,
    conjugate,
    imag,
    iscomplex,
    iscomplexobj,
    isreal,
    isrealobj,
    real,
)
from funcflow.numpy.concatenators import c_, index_exp, r_, s_
from funcflow.numpy.covariance import corrcoef, cov
from funcflow.numpy.creation import (
    array,
    asarray,
    astype,
    copy,
    empty,
    empty_like,
    eye,
    from_dlpack,
    frombuffer,
    fromiter,
    fromstring,
    full,
    full_like,
    identity,
    ones,
    ones_like,
    tri,
    zeros,
    zeros_like,
)
from funcflow.numpy.cumulative import (
    cumprod,
    cumsum,
    cumulative_prod,
    cumulative_sum,
    nancumprod,
    nancumsum,
)
from funcflow.numpy.diagonals import (
    diag,
    diag_indices,
    diag_indices_from,
    diagflat,
    diagonal,
    fill_diagonal,
    mask_indices,
    trace,
    tril,
    tril_indices,
    tril_indices_from,
    triu,
    triu_indices,
    triu_indices_from,
)
from funcflow.numpy.differences import diff, ediff1d, gradient, trapezoid, unwrap
from funcflow.numpy.editing import delete, insert, packbits, repeat, resize, trim_zeros, unpackbits
from funcflow.numpy.einsum import einsum, einsum_path
from funcflow.numpy.exponential import (
    exp,
    exp2,
    expm1,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logaddexp2,
)
from funcflow.numpy.floating import (
    copysign,
    frexp,
    heaviside,
    isfinite,
    isinf,
    isnan,
    isneginf,
    isposinf,
    ldexp,
    modf,
    nan_to_num,
    nextafter,
    signbit,
    spacing,
)
from funcflow.numpy.histograms import (
    bincount,
    histogram,
    histogram2d,
    histogram_bin_edges,
    histogramdd,
)
from funcflow.numpy.joining import (
    append,
    array_split,
    block,
    column_stack,
    concat,
    concatenate,
    dsplit,
    dstack,
    hsplit,
    hstack,
    split,
    stack,
    tile,
    unstack,
    vsplit,
    vstack,
)
from funcflow.numpy.logic import (
    allclose,
    array_equal,
    array_equiv,
    equal,
    greater,
    greater_equal,
    isclose,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
)
from funcflow.numpy.manipulation import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    broadcast_arrays,
    broadcast_shapes,
    broadcast_to,
    expand_dims,
    flip,
    fliplr,
    flipud,
    isscalar,
    iterable,
    matrix_transpose,
    moveaxis,
    ndim,
    permute_dims,
    ravel,
    reshape,
    roll,
    rollaxis,
    rot90,
    shape,
    size,
    squeeze,
    swapaxes,
    transpose,
)
from funcflow.numpy.nan_reductions import (
    nanargmax,
    nanargmin,
    nanmax,
    nanmean,
    nanmin,
    nanprod,
    nanstd,
    nansum,
    nanvar,
)
from funcflow.numpy.nonzero import (
    argwhere,
    flatnonzero,
    ix_,
    nonzero,
    ravel_multi_index,
    unravel_index,
)
from funcflow.numpy.padding import pad
from funcflow.numpy.polynomials import (
    poly,
    polyadd,
    polyder,
    polydiv,
    polyint,
    polymul,
    polysub,
    polyval,
)
from funcflow.numpy.printing import (
    array_repr,
    array_str,
    fromfile,
    get_printoptions,
    load,
    printoptions,
    save,
    savez,
    set_printoptions,
)
from funcflow.numpy.products import (
    cross,
    dot,
    inner,
    kron,
    matmul,
    matvec,
    outer,
    tensordot,
    vdot,
    vecdot,
    vecmat,
)
from funcflow.numpy.promotion import can_cast, isdtype, issubdtype, promote_types, result_type
from funcflow.numpy.protocols import PROTOCOLS
from funcflow.numpy.quantiles import (
    median,
    nanmedian,
    nanpercentile,
    nanquantile,
    percentile,
    quantile,
)
from funcflow.numpy.ranges import (
    arange,
    fromfunction,
    geomspace,
    indices,
    linspace,
    logspace,
    meshgrid,
    mgrid,
    ogrid,
    vander,
)
from funcflow.numpy.reductions import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    count_nonzero,
    max,
    min,
    prod,
    ptp,
    sum,
)
from funcflow.numpy.rounding import around, ceil, fix, floor, rint, round, trunc
from funcflow.numpy.scalar_types import (
    bfloat16,
    bool,
    bool_,
    cdouble,
    character,
    complex64,
    complex128,
    complex_,
    complexfloating,
    csingle,
    double,
    dtype,
    e,
    euler_gamma,
    finfo,
    flexible,
    float16,
    float32,
    float64,
    float_,
    floating,
    generic,
    iinfo,
    inexact,
    inf,
    int8,
    int16,
    int32,
    int64,
    int_,
    integer,
    nan,
    newaxis,
    number,
    object_,
    pi,
    signedinteger,
    single,
    uint,
    uint8,
    uint16,
    uint32,
    uint64,
    unsignedinteger,
)
from funcflow.numpy.selection import (
    choose,
    compress,
    extract,
    piecewise,
    place,
    put,
    put_along_axis,
    select,
    take,
    take_along_axis,
    where,
)
from funcflow.numpy.sets import (
    intersect1d,
    isin,
    setdiff1d,
    setxor1d,
    union1d,
    unique,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
)
from funcflow.numpy.signals import convolve, correlate, interp
from funcflow.numpy.sorting import (
    argpartition,
    argsort,
    digitize,
    lexsort,
    partition,
    searchsorted,
    sort,
    sort_complex,
)
from funcflow.numpy.trigonometric import (
    acos,
    acosh,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctan2,
    arctanh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    cosh,
    deg2rad,
    degrees,
    rad2deg,
    radians,
    sin,
    sinc,
    sinh,
    tan,
    tanh,
)
from funcflow.numpy.vectorizing import apply_along_axis, apply_over_axes, vectorize
from funcflow.numpy.windows import bartlett, blackman, hamming, hanning, kaiser

install_methods({**METHODS, **PROTOCOLS})

# fmt: off
__all__ = [
    "fft", "linalg", "ndarray",
    # arithmetic
    "abs", "absolute", "add", "cbrt", "clip", "divide", "divmod", "fabs", "float_power",
    "floor_divide", "fmax", "fmin", "fmod", "gcd", "hypot", "lcm", "maximum", "minimum", "mod",
    "multiply", "negative", "positive", "pow", "power", "reciprocal", "remainder", "sign",
    "sqrt", "square", "subtract", "true_divide",
    # averages
    "average", "mean", "std", "var",
    # bitwise
    "bitwise_and", "bitwise_count", "bitwise_invert", "bitwise_left_shift", "bitwise_not",
    "bitwise_or", "bitwise_right_shift", "bitwise_xor", "invert", "left_shift", "right_shift",
    # complex_parts
    "angle", "conj", "conjugate", "imag", "iscomplex", "iscomplexobj", "isreal", "isrealobj",
    "real",
    # concatenators
    "c_", "index_exp", "r_", "s_",
    # covariance
    "corrcoef", "cov",
    # creation
    "array", "asarray", "astype", "copy", "empty", "empty_like", "eye", "from_dlpack",
    "frombuffer", "fromiter", "fromstring", "full", "full_like", "identity", "ones",
    "ones_like", "tri", "zeros", "zeros_like",
    # cumulative
    "cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "nancumprod", "nancumsum",
    # diagonals
    "diag", "diag_indices", "diag_indices_from", "diagflat", "diagonal", "fill_diagonal",
    "mask_indices", "trace", "tril", "tril_indices", "tril_indices_from", "triu",
    "triu_indices", "triu_indices_from",
    # differences
    "diff", "ediff1d", "gradient", "trapezoid", "unwrap",
    # editing
    "delete", "insert", "packbits", "repeat", "resize", "trim_zeros", "unpackbits",
    # einsum
    "einsum", "einsum_path",
    # exponential
    "exp", "exp2", "expm1", "log", "log10", "log1p", "log2", "logaddexp", "logaddexp2",
    # floating
    "copysign", "frexp", "heaviside", "isfinite", "isinf", "isnan", "isneginf", "isposinf",
    "ldexp", "modf", "nan_to_num", "nextafter", "signbit", "spacing",
    # histograms
    "bincount", "histogram", "histogram2d", "histogram_bin_edges", "histogramdd",
    # joining
    "append", "array_split", "block", "column_stack", "concat", "concatenate", "dsplit",
    "dstack", "hsplit", "hstack", "split", "stack", "tile", "unstack", "vsplit", "vstack",
    # logic
    "allclose", "array_equal", "array_equiv", "equal", "greater", "greater_equal", "isclose",
    "less", "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor",
    "not_equal",
    # manipulation
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "broadcast_shapes",
    "broadcast_to", "expand_dims", "flip", "fliplr", "flipud", "isscalar", "iterable",
    "matrix_transpose", "moveaxis", "ndim", "permute_dims", "ravel", "reshape", "roll",
    "rollaxis", "rot90", "shape", "size", "squeeze", "swapaxes", "transpose",
    # nan_reductions
    "nanargmax", "nanargmin", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum",
    "nanvar",
    # nonzero
    "argwhere", "flatnonzero", "ix_", "nonzero", "ravel_multi_index", "unravel_index",
    # padding
    "pad",
    # polynomials
    "poly", "polyadd", "polyder", "polydiv", "polyint", "polymul", "polysub", "polyval",
    # printing
    "array_repr", "array_str", "fromfile", "get_printoptions", "load", "printoptions", "save",
    "savez", "set_printoptions",
    # products
    "cross", "dot", "inner", "kron", "matmul", "matvec", "outer", "tensordot", "vdot", "vecdot",
    "vecmat",
    # promotion
    "can_cast", "isdtype", "issubdtype", "promote_types", "result_type",
    # quantiles
    "median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile",
    # ranges
    "arange", "fromfunction", "geomspace", "indices", "linspace", "logspace", "meshgrid",
    "mgrid", "ogrid", "vander",
    # reductions
    "all", "amax", "amin", "any", "argmax", "argmin", "count_nonzero", "max", "min", "prod", "ptp",
    "sum",
    # rounding
    "around", "ceil", "fix", "floor", "rint", "round", "trunc",
    # scalar_types
    "bfloat16", "bool", "bool_", "cdouble", "character", "complex128", "complex64", "complex_",
    "complexfloating", "csingle", "double", "dtype", "e", "euler_gamma", "finfo", "flexible",
    "float16", "float32", "float64", "float_", "floating", "generic", "iinfo", "inexact", "inf",
    "int16", "int32", "int64", "int8", "int_", "integer", "nan", "newaxis", "number", "object_",
    "pi", "signedinteger", "single", "uint", "uint16", "uint32", "uint64", "uint8",
    "unsignedinteger",
    # selection
    "choose", "compress", "extract", "piecewise", "place", "put", "put_along_axis", "select",
    "take", "take_along_axis", "where",
    # sets
    "intersect1d", "isin", "setdiff1d", "setxor1d", "union1d", "unique", "unique_all",
    "unique_counts", "unique_inverse", "unique_values",
    # signals
    "convolve", "correlate", "interp",
    # sorting
    "argpartition", "argsort", "digitize", "lexsort", "partition", "searchsorted", "sort",
    "sort_complex",
    # trigonometric
    "acos", "acosh", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "deg2rad", "degrees", "rad2deg",
    "radians", "sin", "sinc", "sinh", "tan", "tanh",
    # vectorizing
    "apply_along_axis", "apply_over_axes", "vectorize",
    # windows
    "bartlett", "blackman", "hamming", "hanning", "kaiser",
]
# fmt: on
