"""The variational autoencoder: three distributions."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.conditional import Conditional
from vaelab.families import Family
from vaelab.precision import floating


class VAE(nn.Module):
    """q(z|x), p(t|z) and p(z) (Kingma & Welling 2014, arxiv.org/abs/1312.6114).

    Args:
        encoder: x -> q(z|x), event_shape (p,).
        decoder: z -> p(t|z), event_shape the target's.
        prior: () -> p(z), event_shape (p,).
    """

    def __init__(self, encoder: Conditional, decoder: Conditional, prior: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior

    @classmethod
    def build(
        cls,
        x_shape: Sequence[int],
        posterior: Family,
        likelihood: Family,
        prior: nn.Module,
        network: Callable[[Sequence[int], int], nn.Module],
    ) -> "VAE":
        """A VAE whose encoder and decoder are the same network with x and z swapped.

        Args:
            x_shape: the shape of what the encoder sees.
            posterior: the family of q(z|x), over (p,).
            likelihood: the family of p(t|z), over the target's shape.
            prior: () -> p(z).
            network: (input shape, number of outputs) -> module, such as `MLP` or `partial(MLP, hidden=[500])`.

        Raises:
            ValueError: prior and posterior are over different shapes of z.
        """
        if prior().event_shape != posterior.event_shape:
            raise ValueError(
                f"the prior's z must have the posterior's shape {tuple(posterior.event_shape)}, but has "
                f"{tuple(prior().event_shape)}; give both the same latent_dim"
            )
        return cls(
            encoder=Conditional(network(x_shape, posterior.num_parameters), posterior),
            decoder=Conditional(network(posterior.event_shape, likelihood.num_parameters), likelihood),
            prior=prior,
        )

    def encode(self, x: Tensor) -> Distribution:
        """(…, *x) -> q(z|x), batch_shape (…), event_shape (p,). vaelab's networks take x of any real dtype."""
        return self.encoder(x)

    def decode(self, z: Tensor) -> Distribution:
        """(…, p) -> p(t|z), batch_shape (…), event_shape the target's.

        The decoder *network* is deterministic: equal z, equal distribution. A *draw* from it differs every time.
        """
        return self.decoder(z)

    def log_likelihood(self, z: Tensor, target: Tensor) -> Tensor:
        """log p(t|z): z (L, B, p), target (B, *t) of any real dtype -> (L, B), nats.

        Nothing is checked but the shape, since this is part of every training step: `VAEModule` checks the first batch
        of each loader, and `vaelab.evaluation` all that it is given.

        Raises:
            TypeError: the target is no tensor of real numbers.
            ValueError: the target does not have the shape of what is decoded.
        """
        target = floating(target, z)
        likelihood = self.decode(z)
        decoded = likelihood.batch_shape[1:] + likelihood.event_shape
        batch_dims = target.dim() - len(likelihood.event_shape)
        if batch_dims < 1 or target.shape != decoded[-target.dim() :]:  # log_prob would mix examples without a word
            raise ValueError(
                f"the target must have the shape of the decoded batch, {tuple(decoded)}, but has "
                f"{tuple(target.shape)}; give it a batch dimension and the likelihood's event_shape"
            )
        return likelihood.log_prob(target)

    def sample(self, n: int) -> Tensor:
        """n draws t ~ p(t|z), z ~ p(z) -> (n, *t)."""
        return self.decode(self.prior().sample((n,))).sample()
