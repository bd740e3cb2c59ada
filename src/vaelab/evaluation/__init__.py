"""Numbers and figures about a trained VAE."""

from vaelab.evaluation.aggregate_given import aggregate_posterior_given
from vaelab.evaluation.comparability import incomparable
from vaelab.evaluation.draw_tests import DRAWS, compare_draws
from vaelab.evaluation.importance import MEMORY, SAMPLES, log_marginal_likelihood, log_weights
from vaelab.evaluation.latent_paths import PATHS, latent_path
from vaelab.evaluation.latents import active_units, aggregate_posterior, kl_per_dimension
from vaelab.evaluation.linear_gaussian import exact_log_marginal
from vaelab.evaluation.report import evaluate, warnings
from vaelab.evaluation.representation import dci, mig, representation, sap
from vaelab.evaluation.score import score
from vaelab.evaluation.two_sample import classifier_test, mmd_test
from vaelab.evaluation.weight_statistics import effective_sample_size, iw_bound, pareto_k

__all__ = [
    "DRAWS",
    "MEMORY",
    "PATHS",
    "SAMPLES",
    "active_units",
    "aggregate_posterior",
    "aggregate_posterior_given",
    "classifier_test",
    "compare_draws",
    "dci",
    "effective_sample_size",
    "evaluate",
    "exact_log_marginal",
    "incomparable",
    "iw_bound",
    "kl_per_dimension",
    "latent_path",
    "log_marginal_likelihood",
    "log_weights",
    "mig",
    "mmd_test",
    "pareto_k",
    "representation",
    "sap",
    "score",
    "warnings",
]
