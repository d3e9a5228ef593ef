from typing import Any

import numpy as np
import pytest
from scipy import stats

import funcflow as ff
from funcflow import errors
from funcflow.lax.random_gamma import gamma_moment, log_gamma_grad, random_gamma, random_gamma_grad
from funcflow.testing import check_laws

# a, x and dx/da at fixed P(a, x), computed with 40 digits
DERIVATIVES = np.array([
    (0.001, 7.042315131777491e-156, 2.5118231412598624e-150),
    (0.02, 5.7068124422474224e-101, 6.570671030561943e-97),
    (0.02, 1.0263502785601099e-08, 9.160115954687625e-06),
    (0.1, 6.073048362408003e-61, 8.394779309290518e-58),
    (0.1, 0.0005933911044602284, 0.04159774236484461),
    (0.1, 9.45702706045744, 11.735816137920638),
    (0.5, 0.07423593091627269, 0.41662195701286825),
    (0.5, 3.3174483005106072, 3.014830927649921),
    (1.0, 0.010050335853501437, 0.0507620964163303),
    (1.0, 1.203972804325936, 1.2875587667461967),
    (2.0, 0.0014148806614793436, 0.005296734791236655),
    (2.0, 1.6783469900166612, 0.9932948937261026),
    (5.0, 0.16906300162147725, 0.12135661862078005),
    (5.0, 4.670908882795985, 0.9990930349426109),
    (5.0, 23.43152342335784, 2.026130577156337),
    (20.0, 17.435969663475472, 0.9407744136988652),
    (20.0, 31.845369875782232, 1.260954442433086),
    (100.0, 78.21598305379582, 0.8836460246517036),
    (100.0, 104.99270767886517, 1.026267357608538),
    (1000.0, 856.8146512793919, 0.92487644472504),
    (1000.0, 999.6666864269652, 0.9999999802324887),
    (1000.0, 1157.577911008724, 1.0751276881337226),
    (10000.0, 9947.319262019584, 0.9973779482842565),
    (10000.0, 10482.561164638257, 1.023766112444313),
]).T  # fmt: skip


def keys(count: int) -> list[Any]:
    return list(np.random.default_rng(0).integers(2**32, size=(2, count), dtype=np.uint32))


# --- variates -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("a", [0.1, 1.0, 2.5, 100.0])
def test_distribution(a: float, dtype: type) -> None:
    samples = np.asarray(random_gamma(*keys(10000), np.asarray(a, dtype)))
    assert samples.dtype == dtype
    assert stats.kstest(samples.astype(float), stats.gamma(a).cdf).pvalue > 0.01


def test_logarithms() -> None:
    a = np.array([0.05, 0.5, 3.0])[:, None]
    linear, logs = (random_gamma(*keys(100), a, log_space=b) for b in (False, True))
    np.testing.assert_allclose(np.exp(logs), linear, rtol=1e-12)


def test_each_element_has_its_own_key() -> None:
    k0, k1 = keys(50)
    together = np.asarray(random_gamma(k0, k1, np.float32(0.7)))
    alone = [float(random_gamma(a, b, np.float32(0.7))) for a, b in zip(k0, k1, strict=True)]
    np.testing.assert_array_equal(together, alone)


def test_edges() -> None:
    a = np.array([0.0, -1.0, np.nan], np.float32)
    np.testing.assert_array_equal(random_gamma(*keys(3), a), [0.0, np.nan, np.nan])
    assert random_gamma(*keys(0), np.float32(1)).shape == (0,)
    assert random_gamma(*(k[0] for k in keys(1)), np.float32(1)).shape == ()


@pytest.mark.parametrize("log_space", [False, True])
def test_laws_over_elements(log_space: bool) -> None:
    a = np.array([[0.3, 1.0, 4.0]], np.float32)
    check_laws(
        lambda k0, k1, a: random_gamma(k0, k1, a, log_space=log_space),
        (*(k[:, None] for k in keys(2)), a),
        order=0,
    )


def test_errors() -> None:
    with pytest.raises(errors.DtypeError, match="random_gamma: takes uint32 key words"):
        random_gamma(np.int32(0), np.uint32(0), np.float32(1))
    with pytest.raises(errors.DtypeError, match="a floating parameter"):
        random_gamma(np.uint32(0), np.uint32(0), np.int32(1))


# --- derivatives ----------------------------------------------------------------------------


def test_derivative() -> None:
    a, x, expected = DERIVATIVES
    np.testing.assert_allclose(random_gamma_grad(a, x), expected, rtol=1e-10)
    np.testing.assert_allclose(log_gamma_grad(a, np.log(x)), expected / x, rtol=1e-10)
    single = random_gamma_grad(a[10:].astype(np.float32), x[10:].astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected[10:], rtol=1e-5)


def test_derivative_of_underflown_samples_is_zero() -> None:
    assert float(random_gamma_grad(np.float32(1e-4), np.float32(0))) == 0


def test_derivative_far_out_is_finite() -> None:
    a = np.geomspace(1e-6, 1e8, 15)
    for quantile in (1e-12, 0.5, 1 - 1e-12):
        x = stats.gamma(a).ppf(quantile)
        assert np.isfinite(random_gamma_grad(a, x)).all()


def test_variates_are_differentiated_implicitly() -> None:
    k0, k1 = (k[0] for k in keys(1))
    a = np.array([0.3, 1.0, 4.0])
    for log_space, rule in ((False, random_gamma_grad), (True, log_gamma_grad)):

        def draw(a: Any, log_space: bool = log_space) -> Any:
            return random_gamma(k0, k1, a, log_space=log_space)

        out, tangent = ff.jvp(draw, (a,), (np.ones(3),))
        np.testing.assert_allclose(tangent, rule(a, out), rtol=1e-12)
        gradient = ff.grad(lambda a, draw=draw: ff.lax.reduce_sum(draw(a), (0,)))(a)
        np.testing.assert_allclose(gradient, tangent, rtol=1e-12)


def test_moments_obey_the_laws() -> None:
    a, x = np.array([0.3, 2.0, 7.0]), np.array([0.2, 2.5, 4.0])
    side = np.array([1.0, -1.0, 1.0])
    for order in (0, 1):
        check_laws(lambda a, x, n=order: gamma_moment(a, x, side, order=n), (a, x))


def test_derivative_obeys_the_laws() -> None:
    check_laws(random_gamma_grad, (np.array([0.3, 2.0, 7.0]), np.array([0.2, 2.5, 4.0])), order=1)
