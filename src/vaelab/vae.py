"""The variational autoencoder: three distributions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.conditional import Conditional
from vaelab.families import Family
from vaelab.instantiate import takes
from vaelab.precision import floating
from vaelab.short_repr import call_of
from vaelab.standardization import Standardization

PRIORS_OF = {"binary": "bernoulli", "category": "categorical"}  # a prior for each kind of posterior that is not real

NetworkConstructor = Callable[..., nn.Module]  # (input_shape, output_size) -> a network


class VAE(nn.Module):
    """q(z|x), p(t|z) and p(z) (Kingma & Welling 2014, arxiv.org/abs/1312.6114).

    In a conditional VAE, the encoder and the decoder also get a condition c: q(z|x, c) and p(t|z, c) (Sohn et al. 2015,
    eq. 4). The prior does not depend on c, unless it is conditional itself, as `ConditionalPrior` is.

    >>> from vaelab import VAE, Conditional, families, networks, priors
    >>> vae = VAE(
    ...     encoder=Conditional(networks.MLP((5,), 6), families.DiagonalGaussian((3,))),
    ...     decoder=Conditional(networks.MLP((3,), 5), families.Bernoulli((5,))),
    ...     prior=priors.StandardNormal((3,)),
    ... )
    >>> vae.sample(7).shape
    torch.Size([7, 5])

    Args:
        encoder: x, or x and c -> q(z|x), event_shape (p,).
        decoder: z, or z and c -> p(t|z), with the target's event_shape.
        prior: () -> p(z), event_shape (p,); or c -> p(z|c), if it has a `condition_size` above 0. If the prior has a
            method `uses(encoder)`, as `VampPrior` does, it is called with the encoder.
    """

    pure = True

    def __init__(self, encoder: nn.Module, decoder: nn.Module, prior: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior
        uses: Any = getattr(prior, "uses", None)
        if uses is not None:
            uses(encoder)

    @classmethod
    def build(
        cls,
        x_shape: Sequence[int],
        posterior: Family,
        likelihood: Family,
        prior: nn.Module,
        network: NetworkConstructor | Mapping[str, NetworkConstructor],
        condition_size: int = 0,
        standardize: bool = False,
        standardize_condition: bool = False,
    ) -> "VAE":
        """Builds a VAE from its families, its prior, and the constructors of its networks.

        Args:
            x_shape: the shape of the encoder's input.
            posterior: the family of q(z|x), over (p,).
            likelihood: the family of p(t|z), over the target's shape.
            prior: () -> p(z), or c -> p(z|c).
            network: (input shape, number of outputs) -> module, such as `MLP` or `partial(MLP, hidden=[500])`; or
                `{"encoder": …, "decoder": …}` with one such constructor for each. A constructor that takes
                `event_shape` gets the shape of the draw that its outputs describe.
            condition_size: how many numbers the condition has. If it is not 0, the constructors get it as the keyword
                `condition_size`.
            standardize: standardise x, and the target if it is real, inside the model; see `Standardization`. Set means
                and scales with `vae.encoder.input_units.start_at(…)` and `vae.decoder.output_units.start_at(…)`.
            standardize_condition: standardise the condition inside the model, too; `condition_units` of the encoder and
                the decoder hold its means and scales.

        Raises:
            ValueError: the prior and the posterior have different shapes of z, the prior and the model different sizes
                of the condition, a network takes no condition, or the prior has none for the encoder that it uses.
        """
        _check_conditions(prior, condition_size)
        makers = network if isinstance(network, Mapping) else {"encoder": network, "decoder": network}
        encoder = _network(makers["encoder"], x_shape, posterior, condition_size)
        decoder = _network(makers["decoder"], posterior.event_shape, likelihood, condition_size)
        x_units = _units(x_shape, standardize)
        scores_real = likelihood.support in ("real", "mixed")  # a count in other units is no count
        t_units = _units(likelihood.event_shape, standardize and scores_real)
        c_units = [_units((condition_size,), standardize_condition and condition_size > 0) for _ in range(2)]
        vae = cls(
            Conditional(encoder, posterior, input_units=x_units, condition_units=c_units[0]),
            Conditional(decoder, likelihood, output_units=t_units, condition_units=c_units[1]),
            prior,
        )
        _check_prior(vae, posterior)
        return vae

    def __repr__(self) -> str:
        count = sum(parameter.numel() for parameter in self.parameters())
        encoder, decoder, prior = (_text(part) for part in (self.encoder, self.decoder, self.prior))
        name = "p(z|c)" if getattr(self.prior, "condition_size", 0) else "p(z)  "
        return f"VAE with {count:,} parameters\n  q(z|x)  {encoder}\n  p(t|z)  {decoder}\n  {name}  {prior}"

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Distribution:
        """(…, *x) -> q(z|x), batch_shape (…), event_shape (p,). vaelab's networks take x of any real dtype.

        Args:
            x: the data to encode.
            condition: (…, c), for a conditional model.
        """
        q: Distribution = self.encoder(x) if condition is None else self.encoder(x, condition)
        return q

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Distribution:
        """(…, p) -> p(t|z), batch_shape (…), with the target's event_shape.

        The decoder *network* is deterministic: it maps equal z to equal distributions. A *draw* differs every time.

        Args:
            z: the latents to decode.
            condition: (…, c), for a conditional model; its leading dimensions may be fewer than those of z.
        """
        p: Distribution = self.decoder(z) if condition is None else self.decoder(z, condition)
        return p

    def log_likelihood(self, z: Tensor, target: Tensor, condition: Tensor | None = None) -> Tensor:
        """log p(t|z): z (L, B, p), target (B, *t) of any real dtype, condition (B, c) -> (L, B), nats.

        This checks only the shape, because it is part of every training step. `VAEModule` checks the first batch of
        each loader, and `vaelab.evaluation` checks all its data.

        Raises:
            TypeError: the target is not a tensor of real numbers.
            ValueError: the target does not have the decoded shape.
        """
        target = floating(target, z)
        likelihood = self.decode(z, condition)
        decoded = likelihood.batch_shape[1:] + likelihood.event_shape
        batch_dims = target.dim() - len(likelihood.event_shape)
        if batch_dims < 1 or target.shape != decoded[-target.dim() :]:  # log_prob would silently mix examples
            raise ValueError(
                f"the target must have a batch dimension and the decoded shape {tuple(decoded)}, but has the shape "
                f"{tuple(target.shape)}; reshape it, or build the likelihood for its shape"
            )
        return likelihood.log_prob(target)

    def prior_given(self, condition: Tensor | None = None) -> Distribution:
        """p(z), batch_shape (); or p(z|c), batch_shape (…), if the prior is conditional.

        Args:
            condition: (…, c), for a conditional model. A prior without a `condition_size` does not see it.

        Raises:
            ValueError: the prior is conditional, but there is no condition.
        """
        if not (size := getattr(self.prior, "condition_size", 0)):
            return self.prior()
        if condition is None:
            raise ValueError(f"condition must have the shape (…, {size}) for p(z|c), but there is none; pass one")
        units: Any = getattr(self.encoder, "condition_units", None)
        p: Distribution = self.prior(condition if units is None else units(condition))
        return p

    @property
    def latent_shape(self) -> torch.Size:
        """The shape of z, (p,)."""
        like = next(self.parameters(), torch.zeros(()))
        with torch.no_grad():
            return self.prior_given(like.new_zeros(getattr(self.prior, "condition_size", 0))).event_shape

    def sample_prior(self, n: int, condition: Tensor | None = None) -> Tensor:
        """n draws z ~ p(z), or z ~ p(z|c) if the prior is conditional -> (n, p); the condition is (c,) or (n, c)."""
        if condition is not None and condition.shape[:-1] not in ((), (n,)):
            raise ValueError(
                f"condition must have the shape (c,) or ({n}, c), but has {tuple(condition.shape)}; give one for all "
                "draws, or one for each"
            )
        prior = self.prior_given(None if condition is None else condition.expand(n, -1))
        return prior.sample(torch.Size() if prior.batch_shape else torch.Size((n,)))

    def sample(self, n: int, condition: Tensor | None = None) -> Tensor:
        """n draws t ~ p(t|z), z ~ p(z) -> (n, *t). A conditional model needs a condition, (c,) or (n, c)."""
        return self.decode(self.sample_prior(n, condition), condition).sample()


def _text(part: nn.Module) -> str:
    """A part of a model on one line: the network and the family of a conditional distribution."""
    text = repr(part)
    text = call_of(part) if "\n" in text else text
    return text[len("Conditional(") : -1] if type(part) is Conditional else text


def _check_conditions(prior: nn.Module, condition_size: int) -> None:
    """Raises a ValueError if the prior's conditions differ in size from the model's."""
    if (own := getattr(prior, "condition_size", 0)) and own != condition_size:
        raise ValueError(
            f"the prior must have the model's condition_size={condition_size}, but has {own}; give both the same"
        )
    if hasattr(prior, "uses") and (own := getattr(prior, "pseudo_condition_size", 0)) != condition_size:
        raise ValueError(
            f"a prior that uses the encoder needs the model's condition for it, {condition_size} numbers, but "
            f"{type(prior).__name__} has {own}; set its pseudo_condition_size, use another prior such as "
            "prior=standard_normal, or leave the condition out"
        )


def _units(shape: Sequence[int], wanted: bool) -> Standardization | None:
    return Standardization(shape) if wanted else None


def _check_prior(vae: VAE, posterior: Family) -> None:
    """Raises a ValueError if the prior's z differs from the posterior's in shape, in kind or in its categories."""
    if (found := vae.latent_shape) != posterior.event_shape:
        raise ValueError(
            f"the prior's z must have the posterior's shape {tuple(posterior.event_shape)}, but has {tuple(found)}; "
            "choose a prior of the same kind, and give both the same latent_dim and categories"
        )
    own, other = (getattr(each, "categories", None) for each in (posterior, getattr(vae.prior, "family", None)))
    if own is not None and other is not None and own != other:
        raise ValueError(
            f"the prior's variables must have {own} categories each, like the posterior's, but have {other}; give both "
            "the same"
        )
    wanted, kind = getattr(posterior, "support", "real"), getattr(vae.prior, "support", "real")
    if kind != wanted:
        raise ValueError(
            f"the prior's z must be {wanted}, like the posterior's ({type(posterior).__name__}), but "
            f"{type(vae.prior).__name__} is over {kind} z; choose a prior of the same kind, such as "
            f"prior={PRIORS_OF.get(wanted, 'standard_normal')}"
        )


def _network(make: NetworkConstructor, shape: Sequence[int], family: Family, condition_size: int) -> nn.Module:
    more: dict[str, Any] = {"event_shape": tuple(family.event_shape)} if takes(make, "event_shape") else {}
    if not condition_size:
        return make(shape, family.num_parameters, **more)
    try:
        return make(shape, family.num_parameters, condition_size=condition_size, **more)
    except TypeError as error:
        raise ValueError(
            f"network must take condition_size for a conditional model, but {error}; use network=mlp, or leave the "
            "condition out"
        ) from error
