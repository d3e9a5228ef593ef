"""erf, erfc.

Near 0 erf is x times a polynomial in x^2. Further on erfc(x) is e^(-x^2) times the scaled function
erfcx, which is a polynomial in 1 / (x + c). For erf, of which it is less than a fifth, a polynomial
for log2(erfc) is precise enough.
"""

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.exponential import (
    exp2_near_0,
    exp_near_0,
    reduced,
    rounded,
)
from funcflow.backends.scalars.forms import Floats, two_sum
from funcflow.backends.scalars.registry import expansion

# P of erf(x) = x + x P(x^2) on [0, 1], highest power first. Relative error: 2^-29.6 and 2^-62.7.
_ERF_SINGLE = (
    7.850555e-05, -0.00080092746, 0.0051882323, -0.026853766, 0.11283584, -0.37612626, 0.12837917,
)  # fmt: skip
_ERF_DOUBLE = (
    5.94256916336044e-11, -1.1364109186763855e-09, 1.4657486619966954e-08, -1.634996825390168e-07,
    1.646096759176264e-06, -1.4925593190903018e-05, 0.00012055331024177103, -0.0008548326978405704,
    0.005223977624775237, -0.02686617064507234, 0.11283791670954854, -0.3761263890318375,
    0.12837916709551257,
)  # fmt: skip
# log2(erfc(x)) on [1, 3.95], and log2(erfc(1 + t)) for 1 + t on [1, 5.95]. What they add to the
# relative error of erf: 2^-29.8 and 2^-59.5.
_LOG2_ERFC_SINGLE = (
    0.00026888473, -0.004252539, 0.031505544, -0.14875136, -0.92064863, -1.6260458, -0.00049274083,
)  # fmt: skip
_LOG2_ERFC_DOUBLE = (
    1.5143574394415938e-12, -4.193665637172346e-11, 5.352057205464664e-10,
    -4.157358556225382e-09, 2.1622356646634472e-08, -7.5409057468063e-08,
    1.4147329451795723e-07, 2.0490509877451462e-07, -2.970126119888562e-06,
    1.3861345187809383e-05, -3.918139283390369e-05, 3.791050611194668e-05,
    0.000342384125526496, -0.0028535102639476798, 0.014475750114670522, -0.05995999003935822,
    -1.2163466576861373, -3.8072253458536043, -2.6684166967815997,
)  # fmt: skip
# P of erfcx(x) = t P(t - middle), where t = 1 / (x + c), on [1/2, 10.1] and [1/2, 27.4].
# Relative error: 2^-28.6 and 2^-60.6.
_SHIFT_SINGLE, _MIDDLE_SINGLE = 2.0, 0.2413223140495868
_FAR_SINGLE = (
    -31.07725, -33.28206, 17.02347, 11.549529, -7.275883, -5.2032986, 2.5183218, 4.408388,
    2.6715782, 0.998066,
)  # fmt: skip
_SHIFT_DOUBLE, _MIDDLE_DOUBLE = 3.0, 0.15930451127819548
_FAR_DOUBLE = (
    142625513.3481897, 140691083.18311462, -44832602.626966715, -26493714.879672438,
    9299112.92501255, 3026145.8806111184, -1604861.0678367862, -306653.22502412566,
    260201.55942298353, 37303.467219778395, -42819.97140729316, -7439.628418797462,
    7254.501238924178, 2281.0436634885864, -1089.2335356284727, -789.980655600613,
    -14.282580191861989, 210.16211485362757, 147.19461060721636, 62.61253602396813,
    19.816624698537677, 4.998161500204727, 1.0361101562246902,
)  # fmt: skip


@expansion("erf", "f")
def erf(build: Builder, x: Value) -> Value:
    """The error function within 1.5 ulp."""
    f = Floats(build, x)
    size = f("abs", x)
    far = f("copysign", _erf_beyond_1(f, size), x)
    return f.choose(f("le", size, 1.0), _erf_near_0(f, x), far)


@expansion("erfc", "f")
def erfc(build: Builder, x: Value) -> Value:
    """1 - erf(x) within 4 ulp."""
    f = Floats(build, x)
    size = f("abs", x)
    beyond = _erfc_beyond_half(f, f.at_most(size, f.pick(10.1, 27.4)))
    far = f.choose(f("lt", x, 0.0), f("sub", 2.0, beyond), beyond)
    return f.choose(f("le", size, 0.5), f("sub", 1.0, _erf_near_0(f, x)), far)


def _erf_near_0(f: Floats, x: Value) -> Value:
    return f("fma", x, f.even_odd(f("mul", x, x), f.pick(_ERF_SINGLE, _ERF_DOUBLE)), x)


def _erf_beyond_1(f: Floats, x: Value) -> Value:
    x = f.at_most(x, f.pick(3.95, 5.95))
    if f.single:
        log = f.horner(x, _LOG2_ERFC_SINGLE)
    else:
        log = f.even_odd(f("sub", x, 1.0), _LOG2_ERFC_DOUBLE)
    whole, n = rounded(f, log, 1.0, f.bias)
    power = f.from_bits(f("shift_left", n, f.digits))
    return f("fma", f("neg", power), exp2_near_0(f, f("sub", log, whole)), 1.0)


def _erfc_beyond_half(f: Floats, x: Value) -> Value:
    # x^2 in two parts: an error of x^2 were a relative one of e^(-x^2)
    square = f("mul", x, x)
    low = f("fma", x, x, f("neg", square))
    r, whole, n = reduced(f, f("neg", square), 2 * f.bias)
    power = exp_near_0(f, f("sub", r, low))
    # t = 1 / (x + c), and what the rounding of sum and quotient takes from it
    shifted, rest = two_sum(f, x, f.pick(_SHIFT_SINGLE, _SHIFT_DOUBLE))
    t = f("div", 1.0, shifted)
    error = f("fma", f("neg", t), rest, f("fma", f("neg", t), shifted, 1.0))
    centred = f("fma", t, error, f("sub", t, f.pick(_MIDDLE_SINGLE, _MIDDLE_DOUBLE)))
    series = f.horner(centred, f.pick(_FAR_SINGLE, _FAR_DOUBLE))
    return f("scale", whole, n, f("mul", f("mul", t, series), power))
