"""Sentences below the tables of runs: what their numbers mean and assume, and what to run if something is missing.

Text from a run's files is escaped.
"""

from collections.abc import Callable, Sequence

from vaelab.escapes import short
from vaelab.sweeps.ranking import Group
from vaelab.sweeps.run_files import NLL
from vaelab.sweeps.statistics import CLAIMS_IF_SPREADS_DIFFER

REPEAT = "add seed=1,2,3 to the command"
SEVERAL_TABLES = "Each table has a score of its own, as its title says, so compare only the rows of one table."
Escape = Callable[[object], str]
MOST_NAMED = 5  # objectives in a sentence
MEANS = (
    "[low, high] is the 95 % interval of one mean (Student's t, for independent and normal scores). It includes the "
    "luck of the seeds, but not the luck of the data split, which is fixed."
)
DIFFERENCES = (
    "The last column is the difference to the best configuration. Its 95 % intervals hold for all pairs of a table at "
    "once (Tukey), so they are right even though the same numbers picked the best. The best's own number is partly "
    "luck, so expect new seeds to do a little worse."
)
ASSUMPTIONS = (
    "The intervals assume that seeds are independent draws, and that scores are normal with the same spread in every "
    "configuration. If one of 5 configurations spreads three times as much as the others, "
    f"{CLAIMS_IF_SPREADS_DIFFER} % of sweeps over 3 seeds show a difference that is not there, instead of 5 %."
)
SINGLE = f"A number without an interval comes from a single run; {REPEAT}."
UNEQUAL_SEEDS = (
    "The configurations have different seeds, so they are ranked by a fit of configuration + seed, as the last column "
    "shows. The means in this table are over different seeds, so a lucky seed can lift the mean of a configuration "
    "above the mean of the best."
)
NO_SHARED_SEEDS = (
    "The configurations share too few seeds to be compared seed by seed, so the last column compares only their means."
)


def notes(group: Group, escape: Escape) -> list[str]:
    """The sentences below the table of one group."""
    several_meanings = [_why_not_by_score(group, escape)] if len(group.meanings) > 1 else []
    return several_meanings + _about_seeds(group)


def _why_not_by_score(group: Group, escape: Escape) -> str:
    """Says why runs with several objectives are ranked by their NLL, or not at all, and what to run then."""
    named = [escape(short(meaning, 40)) for meaning in group.meanings[:MOST_NAMED]]
    more = len(group.meanings) - len(named)
    listed = ", ".join([*named, *([f"{more} more"] if more else [])])
    score = escape(group.score)
    if group.ranked_by:
        return (
            f"{score} means something different for each objective ({listed}), so the runs are ranked by "
            f"{escape(group.ranked_by)}, where lower is better."
        )
    return (
        f"The runs are not ranked, because {score} means something different for each objective ({listed}); to rank "
        f"them by {NLL}, run `vaelab evaluate RUN` for each of them, with the same --samples."
    )


def _about_seeds(group: Group) -> list[str]:
    repeated = any(len(each.runs) > 1 for each in group.configurations)
    if not repeated or not group.ranked_by or len(group.configurations) == 1 or group.balanced:
        return []
    return [UNEQUAL_SEEDS if group.paired else NO_SHARED_SEEDS]


def explanations(groups: Sequence[Group], escape: Escape) -> list[str]:
    """The sentences below all tables."""
    sizes = {len(each.runs) for group in groups for each in group.configurations}
    if not sizes:
        return []
    if sizes == {1}:
        reason = f"There are no intervals, because no configuration ran with several seeds; {REPEAT}."
        return [" ".join(["Numbers are nats per example.", *_how_ranked(groups, escape), reason])]
    several = any(group.ranked_by and len(group.configurations) > 1 for group in groups)
    return [
        " ".join(["Numbers are means over seeds, in nats per example.", *_how_ranked(groups, escape), MEANS]),
        *([DIFFERENCES, ASSUMPTIONS] if several else []),
        *([SINGLE] if 1 in sizes else []),
    ]


def _how_ranked(groups: Sequence[Group], escape: Escape) -> list[str]:
    tags = list(dict.fromkeys(group.ranked_by for group in groups if group.ranked_by))
    if not tags:
        return []
    number = escape(tags[0]) if len(tags) == 1 else "the number that the last column names"
    if any(UNEQUAL_SEEDS in _about_seeds(group) for group in groups):
        number = f"the mean of {number}, or by the fit if there is a note about it below the table"
    return [f"Configurations are ranked by {number}.", *([SEVERAL_TABLES] if len(groups) > 1 else [])]
