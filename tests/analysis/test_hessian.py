"""Products with a Hessian, its eigenvalues and its density, on models whose Hessian can be written down."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from augwise import UserError
from augwise.analysis.analyse_hessian import _densities, _summary
from augwise.analysis.directions import flat
from augwise.analysis.hessian import HessianVector
from augwise.analysis.lanczos import after, density, krylov, power_iteration, quadrature, rademacher, top_pairs
from reference.curvature import explicit_hessian
from reference.training_toys import network

SPECTRUM = np.array([9.0, 6.5, 4.0, 1.0, 0.5, 0.1, 0.0, -0.25, -2.0, -7.0])


def symmetric(spectrum, dtype=torch.float64):
    """A matrix with these eigenvalues, and its eigenvectors as columns."""
    q = torch.linalg.qr(torch.randn(len(spectrum), len(spectrum), dtype=dtype))[0]
    return q @ torch.diag(torch.as_tensor(spectrum, dtype=dtype)) @ q.T, q


def tiny(**options):
    """A classifier of 3×5×4 images with 3 classes, 113 parameters, twice differentiable but for max-pooling's kinks."""
    torch.manual_seed(3)
    layers = [nn.Conv2d(3, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(8, 3), nn.Linear(3, 3))
    model[1].running_mean += 0.3  # pyright: ignore
    model[1].running_var *= 2.0  # pyright: ignore
    return model.to(**options)


def toy_images(n=7, dtype=torch.float64):
    return torch.rand(n, 3, 5, 4, dtype=dtype), torch.arange(n) % 3


def batches_of(images, labels, size=None):
    return lambda: zip(images.split(size or len(images)), labels.split(size or len(images)), strict=True)


# Products with the Hessian ------------------------------------------------------------------------------------------


def test_the_hessian_of_a_quadratic_is_known():
    """½ Σ_i (w · x_i − y_i)² / n has the Hessian XᵀX / n, whatever w is."""
    x, y = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    model = nn.Linear(4, 1, bias=False).double().eval()
    product = HessianVector(model, batches_of(x, y, 4), lambda out, target: 0.5 * (out[:, 0] - target).square().sum())
    v = torch.randn(4, dtype=torch.float64)
    torch.testing.assert_close(product(v), x.T @ x @ v / 6)
    torch.testing.assert_close(product.gradient(), (x.T @ (model(x)[:, 0] - y)).detach() / 6)


def test_the_hessian_of_a_linear_classifier_is_known():
    """Logits W x: block (a, b) of the Hessian is Σ_i (p_a [a = b] − p_a p_b) x_i x_iᵀ / n."""
    x, y = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 2, 1, 1, 0])
    model = nn.Linear(4, 3, bias=False).double().eval()
    p = model(x).softmax(1).detach()
    middle = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    expected = torch.einsum("iab,ic,id->acbd", middle, x, x).reshape(12, 12) / 5
    product = HessianVector(model, batches_of(x, y, 2))
    found = torch.stack([product(e) for e in torch.eye(12, dtype=torch.float64)])
    torch.testing.assert_close(found, expected)


def test_products_are_those_of_the_explicit_hessian_however_batches_are_cut():
    model, (images, labels) = tiny(dtype=torch.float64).eval(), toy_images()
    expected = explicit_hessian(model, images, labels)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for size in (1, 3, 7):
        product = HessianVector(model.requires_grad_(False), batches_of(images, labels, size))
        vectors = torch.randn(5, product.size, dtype=torch.float64)
        found = torch.stack([product(v) for v in vectors])
        torch.testing.assert_close(found, vectors @ expected, atol=1e-10, rtol=1e-8)
        assert product.products == 5
    assert not any(p.requires_grad for p in model.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_attention_can_be_derived_twice():
    """torch's quick attention cannot; the reference writes softmax(q kᵀ / √d) v out."""

    class Attention(nn.Module):
        written_out = False

        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 12)

        def forward(self, x):
            q, k, v = self.inner(x.flatten(2).transpose(1, 2)).chunk(3, 2)
            if self.written_out:
                return ((q @ k.transpose(1, 2) / 2).softmax(2) @ v).mean(1)[:, :3]
            return nn.functional.scaled_dot_product_attention(q, k, v).mean(1)[:, :3]

    model, images, labels = Attention().double().eval(), torch.rand(3, 4, 2, 3, dtype=torch.float64), torch.arange(3)
    product = HessianVector(model, batches_of(images, labels))
    found = torch.stack([product(e) for e in torch.eye(product.size, dtype=torch.float64)])
    model.written_out = True
    torch.testing.assert_close(found, explicit_hessian(model, images, labels))


def test_a_model_in_training_mode_is_refused():
    with pytest.raises(UserError, match=r"model\.eval\(\)"):
        HessianVector(network(), batches_of(*toy_images()))


# Eigenvalues --------------------------------------------------------------------------------------------------------


def test_lanczos_finds_the_largest_eigenvalues_with_their_vectors():
    a, q = symmetric(SPECTRUM)
    found = top_pairs(lambda v: a @ v, torch.randn(10, dtype=torch.float64), 3, steps=10, tolerance=1e-9)
    np.testing.assert_allclose(found.values, [9.0, 6.5, 4.0], rtol=1e-9)
    for i in range(3):
        assert abs(found.vectors[i] @ q[:, i]).item() == pytest.approx(1, abs=1e-8)
        residual = (a @ found.vectors[i] - found.values[i] * found.vectors[i]).norm().item()
        assert residual == pytest.approx(found.residuals[i], abs=1e-9)


def test_lanczos_stops_when_its_residuals_allow_and_says_how_far_it_is():
    spectrum = np.concatenate([[50.0, 30.0], np.linspace(-1, 1, 198)])
    a, _ = symmetric(spectrum)
    start = torch.randn(200, dtype=torch.float64)
    early = top_pairs(lambda v: a @ v, start, 2, steps=60, tolerance=1e-2)
    assert early.products < 15
    for value, residual, true in zip(early.values, early.residuals, (50.0, 30.0), strict=True):
        assert residual <= 1e-2 * value
        assert abs(value - true) <= residual
        assert value == pytest.approx(true, rel=1e-4)
    cut = top_pairs(lambda v: a @ v, start, 2, steps=3, tolerance=1e-9)
    assert cut.products == 3
    assert (cut.residuals > 1e-9 * cut.values).any()


def test_power_iteration_finds_the_largest_magnitudes_in_their_order():
    a, q = symmetric(SPECTRUM)
    starts = list(torch.randn(4, 10, dtype=torch.float64))
    found = power_iteration(lambda v: a @ v, starts, steps=2000, tolerance=1e-7)
    np.testing.assert_allclose(found.values, [9.0, -7.0, 6.5, 4.0], rtol=1e-6)
    for vector, column in zip(found.vectors, (0, 9, 1, 2), strict=True):
        assert abs(vector @ q[:, column]).item() == pytest.approx(1, abs=1e-6)


def test_power_iteration_that_is_cut_short_says_what_belongs_to_its_vector():
    a, _ = symmetric(SPECTRUM)
    found = power_iteration(lambda v: a @ v, list(torch.randn(2, 10, dtype=torch.float64)), steps=3, tolerance=0.0)
    for value, vector, residual in zip(found.values, found.vectors, found.residuals, strict=True):
        assert vector.norm().item() == pytest.approx(1)
        assert (vector @ a @ vector).item() == pytest.approx(value)
        assert (a @ vector - value * vector).norm().item() == pytest.approx(residual)


def test_both_solvers_agree_with_the_explicit_hessian_in_float32():
    model, (images, labels) = tiny().eval(), toy_images(dtype=torch.float32)
    product = HessianVector(model, batches_of(images, labels, 4))
    true = torch.linalg.eigvalsh(explicit_hessian(tiny(dtype=torch.float64).eval(), images.double(), labels)).numpy()
    lanczos = top_pairs(product, torch.randn(product.size), 3, steps=40, tolerance=1e-3)
    np.testing.assert_allclose(lanczos.values, true[::-1][:3], rtol=1e-4)
    power = power_iteration(product, list(torch.randn(2, product.size)), 40, 1e-2)
    for value, residual in zip(power.values, power.residuals, strict=True):
        assert abs(true - value).min() <= residual + 1e-5
    assert power.values[0] == pytest.approx(true[np.argmax(abs(true))], rel=1e-3)
    assert lanczos.products < 40


def test_rounding_does_not_find_an_eigenvalue_twice():
    """In float32, without making vectors orthogonal anew, the largest one comes back as a ghost."""
    spectrum = np.concatenate([[1000.0], np.linspace(0, 1, 299)])
    a, _ = symmetric(spectrum, dtype=torch.float32)
    found = after(krylov(lambda v: a @ v, torch.randn(300)), 100)
    nodes, _ = found.ritz()
    assert (nodes > 500).sum() == 1
    basis = torch.stack(found.basis)
    torch.testing.assert_close(basis @ basis.T, torch.eye(100), atol=1e-5, rtol=0)


def test_the_space_may_be_exhausted():
    a, _ = symmetric([3.0, 3.0, 0.0, 0.0, -1.0, -1.0])
    grown = list(krylov(lambda v: a @ v, torch.randn(6, dtype=torch.float64)))
    assert len(grown) == 3  # three different eigenvalues
    np.testing.assert_allclose(grown[-1].ritz()[0], [-1, 0, 3], atol=1e-10)
    zero = after(krylov(torch.zeros_like, torch.ones(4)), 3)
    assert zero.alpha == [0.0]


# Density ------------------------------------------------------------------------------------------------------------


def test_quadrature_is_exact_for_polynomials():
    """Σ τ² θᵏ = vᵀ Aᵏ v up to degree 2m − 1, and no longer at 2m."""
    a, _ = symmetric(SPECTRUM)
    v = torch.randn(10, dtype=torch.float64)
    v /= v.norm()
    m = 4
    nodes, weights = quadrature(after(krylov(lambda u: a @ u, v), m))
    assert len(nodes) == m
    assert weights.sum() == pytest.approx(1)
    for k in range(2 * m):
        assert weights @ nodes**k == pytest.approx((v @ torch.linalg.matrix_power(a, k) @ v).item(), rel=1e-9), k
    exact = (v @ torch.linalg.matrix_power(a, 2 * m) @ v).item()
    assert weights @ nodes ** (2 * m) != pytest.approx(exact, rel=1e-6)


def test_moments_of_probes_are_those_of_the_spectrum():
    """Every ±1/√P probe gives a diagonal matrix's moments exactly; of any other, their mean comes close."""
    diagonal = torch.as_tensor(SPECTRUM).float()
    probe = rademacher(10, torch.Generator().manual_seed(1))
    nodes, weights = quadrature(after(krylov(lambda v: diagonal * v, probe), 10))
    for k in (1, 2, 3):
        assert weights @ nodes**k == pytest.approx((SPECTRUM**k).mean(), rel=1e-4)
    a, _ = symmetric(SPECTRUM, dtype=torch.float32)
    generator, found = torch.Generator().manual_seed(2), []
    for _ in range(400):
        nodes, weights = quadrature(after(krylov(lambda v: a @ v, rademacher(10, generator)), 2))
        found.append(weights @ nodes)
    error = np.std(found, ddof=1) / math.sqrt(400)
    assert abs(np.mean(found) - SPECTRUM.mean()) < 4 * error
    assert error < 0.1


def test_the_density_integrates_to_one_and_lies_where_the_eigenvalues_are():
    a, _ = symmetric(SPECTRUM)
    probes = [quadrature(after(krylov(lambda v: a @ v, torch.randn(10, dtype=torch.float64)), 10)) for _ in range(3)]
    at = np.linspace(-9, 11, 4001)
    found = density([n for n, _ in probes], [w for _, w in probes], at, 0.05)
    assert np.trapezoid(found, at) == pytest.approx(1, abs=1e-6)
    mean = np.mean([w @ n for n, w in probes])
    assert np.trapezoid(found * at, at) == pytest.approx(mean, abs=1e-6)
    far = np.min(abs(at[:, None] - SPECTRUM[None]), axis=1) > 0.4
    assert found[far].max() < 1e-8


def test_a_summary_of_probes_by_hand():
    probes = [
        {"nodes": np.array([-4.0, -0.001, 1.0, 10.0]), "weights": np.array([0.1, 0.2, 0.3, 0.4])},
        {"nodes": np.array([-1.0, 0.0, 8.0]), "weights": np.array([0.25, 0.25, 0.5])},
    ]
    found = _summary(probes, 50)
    traces = 50 * (-0.4 - 0.0002 + 0.3 + 4.0), 50 * (-0.25 + 4.0)
    assert found["trace"] == pytest.approx(sum(traces) / 2)
    assert found["trace_std"] == pytest.approx(abs(traces[0] - traces[1]) / math.sqrt(2))
    squares = 50 * (1.6 + 0.2e-6 + 0.3 + 40.0), 50 * (0.25 + 32.0)
    assert found["frobenius"] == pytest.approx(math.sqrt(sum(squares) / 2))  # the root of Σ λ² over all eigenvalues
    assert (found["lowest"], found["highest"]) == (-4.0, 10.0)
    assert found["negative"] == pytest.approx((0.1 + 0.25) / 2)  # what is nearer to zero than 0.01 has no sign
    assert _summary(probes[:1], 50)["trace_std"] is None


def test_densities_of_several_runs_are_told_at_the_same_points():
    probes = [
        [{"nodes": np.array([low, high]), "weights": np.array([0.5, 0.5])}] for low, high in ((-3.0, 1.0), (0.0, 20.0))
    ]
    rows = [{"name": "none was asked"}, *(_summary(probe, 9) for probe in probes)]
    _densities(rows)
    assert "density" not in rows[0]
    one, other = (row["density"] for row in rows[1:])
    assert one["at"] == other["at"]
    assert one["width"] == other["width"] == pytest.approx(23 / 200)
    at = np.array(one["at"])
    for told, nodes in ((one, (-3.0, 1.0)), (other, (0.0, 20.0))):
        value = np.array(told["value"])
        assert np.trapezoid(value, at) == pytest.approx(1, abs=1e-3)
        for node in nodes:
            near = abs(at - node) < 4 * told["width"]
            assert np.trapezoid(value[near], at[near]) == pytest.approx(0.5, abs=0.01)


def test_flat_keeps_the_order_of_parameters():
    model = tiny()
    assert len(flat(list(model.parameters()))) == sum(p.numel() for p in model.parameters())
