"""Compares pictures of a VAE with its distributions."""

import numpy as np
import pytest
import torch
from torch.distributions import kl_divergence
from torch.testing import assert_close

from vaelab import VAE, figures
from vaelab.evaluation import data_checks, views
from vaelab.families import Bernoulli, DiagonalGaussian, FullGaussian, IdentityGaussian
from vaelab.networks import MLP
from vaelab.priors import LearnedPrior, StandardNormal, VampPrior

B, P = 7, 3


def build(x_shape, likelihood, p=P, posterior=DiagonalGaussian, prior=None):
    return VAE.build(
        x_shape, posterior((p,)), likelihood, prior or StandardNormal((p,)), lambda shape, size: MLP(shape, size, [5])
    )


def learned_prior(family, p=P):
    prior = LearnedPrior(family((p,)))
    torch.nn.init.normal_(prior.numbers, std=0.5)
    return prior


@pytest.fixture
def points():
    return build((4,), DiagonalGaussian((2,))), torch.randn(B, 4), torch.randn(B, 2)


@pytest.fixture
def images():
    return build((1, 5, 6), Bernoulli((1, 5, 6)), p=2), torch.rand(B, 1, 5, 6).round()


def equal(array, tensor):
    assert_close(torch.from_numpy(array), tensor.detach())


def test_point_reconstructions_decode_the_posterior_mean(points):
    vae, x, target = points
    picture = views.reconstructions(vae, x, target, ("a", "b"))
    p = vae.decode(vae.encode(x).mean)
    equal(picture.target, target)
    equal(picture.mean, p.mean)
    equal(picture.std, p.stddev)
    assert picture.names == ("a", "b")
    assert np.abs((picture.sample - picture.mean) / picture.std).max() < 5


def test_image_reconstructions_decode_the_posterior_mean(images):
    vae, x = images
    picture = views.reconstructions(vae, x, x)
    equal(picture.mean, vae.decode(vae.encode(x).mean).mean[:, 0])
    assert set(np.unique(picture.sample)) == {0.0, 1.0}
    assert picture.std is None


@pytest.mark.parametrize(
    ("family", "shape", "drawn", "learns_std"),
    [
        (DiagonalGaussian, (5, 6), (5, 6), True),
        (FullGaussian, (3, 2, 4), (2, 4, 3), True),
        (IdentityGaussian, (1, 5, 6), (5, 6), False),
    ],
)
def test_images_of_every_layout(family, shape, drawn, learns_std):
    vae = build(shape, family(shape))
    x = torch.randn(B, *shape)
    picture = views.reconstructions(vae, x, x)
    assert picture.target.shape == picture.mean.shape == picture.sample.shape == (B, *drawn)
    assert (picture.std is not None) == learns_std
    if len(shape) == 3 and shape[0] == 3:
        equal(picture.target[..., 2], x[:, 2])
    assert views.prior_samples(vae, 5).images.shape == (5, *drawn)
    assert views.traversals(vae, steps=4).images.shape == (P, 4, *drawn)


def test_other_shapes_are_points():
    vae = build((4, 2, 3), DiagonalGaussian((4, 2, 3)))
    x = torch.randn(B, 4, 2, 3)
    assert views.reconstructions(vae, x, x).mean.shape == (B, 24)
    assert views.prior_samples(vae, 5, "sample", x).data.shape == (B, 24)


@pytest.mark.parametrize("show", ["mean", "sample"])
def test_prior_samples_are_as_many_as_asked_and_the_same_each_time(points, show):
    vae, _, target = points
    first, second = (views.prior_samples(vae, 5, show, target) for _ in range(2))
    assert first.draws.shape == (5, 2)
    np.testing.assert_array_equal(first.draws, second.draws)
    assert {"mean": "means of", "sample": "draws from"}[show] in first.title


def test_no_view_touches_torchs_generator(points, images):
    vae, x, target = points
    before = torch.get_rng_state()
    views.reconstructions(vae, x, target)
    views.prior_samples(vae, 5, "sample")
    views.traversals(vae)
    views.latents(vae.encode(x), vae.prior())
    views.manifold(images[0])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("family", [DiagonalGaussian, FullGaussian])
def test_the_manifold_decodes_quantiles_of_the_prior(family):
    vae = build((1, 5, 6), Bernoulli((1, 5, 6)), p=2, prior=learned_prior(family, 2))
    picture = views.manifold(vae, steps=4)
    assert isinstance(picture, figures.ImageManifold)
    marginal = torch.distributions.Normal(vae.prior().mean, vae.prior().stddev)
    quantiles = marginal.cdf(torch.stack([torch.from_numpy(picture.z1), torch.from_numpy(picture.z2)], -1))
    assert_close(quantiles.detach(), torch.tensor([[0.125], [0.375], [0.625], [0.875]]).expand(4, 2))
    z = torch.tensor([picture.z1[3], picture.z2[1]])
    equal(picture.images[1, 3], vae.decode(z).mean[0])


def test_the_manifold_of_points_spans_three_standard_deviations():
    vae = build((4,), DiagonalGaussian((2,)), p=2)
    picture = views.manifold(vae, steps=5, names=("a", "b"))
    assert (picture.z1[0], picture.z2[-1]) == (-3, 3)
    equal(picture.means[1, 4], vae.decode(torch.tensor([picture.z1[4], picture.z2[1]])).mean)


def test_a_manifold_needs_two_dimensions(points):
    with pytest.raises(ValueError, match="latent_dim must be 2 to draw a manifold, but is 3"):
        views.manifold(points[0])


def test_traversals_move_one_latent_in_prior_standard_deviations():
    vae = build((4,), DiagonalGaussian((2,)), prior=learned_prior(FullGaussian))
    picture = views.traversals(vae, steps=5, span=2.0, dimensions=[2, 0])
    prior = vae.prior()
    z = prior.mean.detach().clone()
    z[2] += 2.0 * prior.stddev[2].detach()
    equal(picture.means[0, -1], vae.decode(z).mean)
    equal(picture.stds[0, -1], vae.decode(z).stddev)
    equal(picture.means[1, 2], vae.decode(prior.mean).mean)
    origin = torch.tensor([0.3, -0.4, 0.5])
    moved = views.traversals(vae, steps=3, origin=origin)
    equal(moved.means[1, 1], vae.decode(torch.tensor([0.3, prior.mean[1].item(), 0.5])).mean)


@pytest.mark.parametrize("wrong", [{"steps": 1}, {"span": 0.0}, {"dimensions": [3]}, {"dimensions": []}])
def test_traversals_that_make_no_sense_are_refused(points, wrong):
    with pytest.raises(ValueError, match=r"(steps|span|dimensions) must be .*, but is"):
        views.traversals(points[0], **wrong)


def test_kl_bars_sum_to_the_kl(points):
    vae, x, _ = points
    q = vae.encode(x)
    kl = torch.from_numpy(views.kl_per_dimension_bars(q, vae.prior()).kl)
    closed = 0.5 * (q.variance + q.mean**2 - 1 - q.variance.log())
    assert_close(kl, closed.mean(0).detach())
    assert_close(kl.sum(), kl_divergence(q, vae.prior()).mean().detach())


def test_latents_are_posterior_means_of_the_dimensions_with_most_kl():
    vae = build((4,), DiagonalGaussian((2,)), posterior=FullGaussian, prior=learned_prior(DiagonalGaussian))
    x, labels = torch.randn(B, 4), torch.arange(B)
    picture = views.latents(vae.encode(x), vae.prior(), ("digit", labels))
    kl = views.kl_per_dimension_bars(vae.encode(x), vae.prior()).kl
    assert sorted(picture.dimensions) == sorted(np.argsort(kl)[-2:])
    equal(picture.z, vae.encode(x).mean[:, picture.dimensions.tolist()])
    assert (picture.label, picture.latent_dim) == ("digit", P)
    assert picture.labels.dtype.kind == "i"
    one = build((4,), Bernoulli((2,)), p=1)
    assert views.latents(one.encode(x), one.prior()).z.shape == (B, 1)


def test_latents_are_shown_beside_the_prior_and_the_posterior_of_median_spread():
    vae = build((4,), DiagonalGaussian((2,)), posterior=FullGaussian, prior=learned_prior(FullGaussian))
    q, prior = vae.encode(torch.randn(B, 4)), vae.prior()
    picture = views.latents(q, prior, ("kind", torch.arange(B) % 2), ("a", "b"))
    shown = picture.dimensions.tolist()
    equal(picture.prior_mean, prior.mean[shown])
    equal(picture.prior_cov, prior.covariance_matrix[shown][:, shown])
    spreads = q.stddev[:, shown].prod(-1)
    typical = int((spreads == spreads.median()).nonzero())
    equal(picture.posterior_mean, q.mean[typical, shown])
    equal(picture.posterior_cov, q.covariance_matrix[typical][shown][:, shown])
    assert picture.prior_draws is None
    assert picture.label_names == ("a", "b")


def test_a_prior_that_is_not_gaussian_is_shown_by_draws():
    vae = build((1, 5, 6), Bernoulli((1, 5, 6)), p=2, prior=VampPrior((1, 5, 6), 4))
    q, prior = vae.encode(torch.rand(B, 1, 5, 6).round()), vae.prior()
    draws = torch.from_numpy(views.latents(q, prior).prior_draws)
    error = prior.stddev / len(draws) ** 0.5
    assert ((draws.mean(0) - prior.mean).abs() < 5 * error).all()


def test_curves_leave_out_what_is_not_finite():
    train = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([-3.0, float("nan"), -2.0])
    picture = views.curves(train, None, {"baseline": torch.tensor(-4.0), "ceiling": float("nan")})
    np.testing.assert_array_equal(picture.train, [[1, 3], [-3, -2]])
    assert picture.val.shape == (2, 0)
    assert picture.landmarks == {"baseline": -4.0}
    with pytest.raises(ValueError, match=r"one value per epoch, but has shapes \(2,\) and \(3,\)"):
        views.curves(([1, 2], [3, 4, 5]), None)


def test_the_surface_is_the_last_target_dimension_over_the_first_two_inputs():
    vae = build((3,), DiagonalGaussian((2,)))
    x, truth = torch.randn(20, 3), torch.randn(5, 4)
    picture = views.surface(vae, x, truth)
    p = vae.decode(vae.encode(x).mean)
    equal(picture.x, x[:, 0].reshape(5, 4))
    equal(picture.y, x[:, 1].reshape(5, 4))
    equal(picture.mean, p.mean[:, 1].reshape(5, 4))
    equal(picture.std, p.stddev[:, 1].reshape(5, 4))


def test_half_precision_becomes_arrays(points):
    vae, x, target = points
    picture = views.reconstructions(vae.bfloat16(), x.bfloat16(), target.bfloat16())
    assert picture.mean.dtype == np.float32


def test_a_picture_that_would_fill_the_memory_is_refused(monkeypatch, images):
    vae, x = images
    monkeypatch.setattr(data_checks, "PIXELS", 9 * 30)
    views.manifold(vae, 3)
    views.traversals(vae, 4)
    state = torch.get_rng_state()
    for draw in (
        lambda: views.manifold(vae, 4),
        lambda: views.traversals(vae, 5),
        lambda: views.prior_samples(vae, 10),
        lambda: views.reconstructions(vae, x.repeat(2, 1, 1, 1), x.repeat(2, 1, 1, 1)),
    ):
        with pytest.raises(ValueError, match=r"at most 270 numbers, but \d+ × 30 are more; draw at most 9 images"):
            draw()
    assert torch.equal(torch.get_rng_state(), state)
