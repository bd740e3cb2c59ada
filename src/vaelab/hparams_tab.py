"""The columns of TensorBoard's HParams tab: which hyper-parameters it lists first, and which final numbers.

TensorBoard shows the first five hyper-parameters and the first five numbers, and offers the others in a list. It sorts
hyper-parameters by `differs`, then by name.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FINAL = "when_done"  # the group of the final numbers, which TensorBoard sorts after train, val and views
TERMS = ("elbo", "kl", "log_likelihood", "bound", "loss")
SHOWN = 5  # hyper-parameters that TensorBoard shows at first
USUAL: dict[str, float | str] = {  # what people look for first, with an example for its kind
    "latent_dim": 2.0,
    "model": "gaussian",
    "network.hidden": "[64, 64]",
    "optimizer.lr": 1e-3,
    "seed": 0.0,
}
Value = float | str


def value_of(value: Any) -> Value:
    """A value as the tab holds it: a number or a text. TensorBoard would show true as 1.0000.

    >>> value_of(3), value_of(True), value_of([16, 8]), value_of(None)
    (3.0, 'true', '[16, 8]', 'null')
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def value_typed(text: str) -> Value:
    """A value of the command line as the tab holds it.

    >>> value_typed("1e-3"), value_typed("'my data'"), value_typed("[16,8]"), value_typed("True")
    (0.001, 'my data', '[16, 8]', 'true')
    """
    text = text.strip().strip("'\"")
    try:
        return float(text)
    except ValueError:
        if text.lower() in ("true", "false", "null"):
            return text.lower()
        return re.sub(r",(?=\S)", ", ", text) if text.startswith("[") else text


def leading(typed: Iterable[str]) -> list[str]:
    """The keys whose columns come first for a run of its own: those of its command line, then the usual ones."""
    first = list(dict.fromkeys(typed))
    return first + [key for key in USUAL if key not in first][: max(SHOWN - len(first), 0)]


def final_tag(tag: str) -> str:
    """The tag of a final number.

    >>> final_tag("test/elbo")
    'when_done/test/elbo'
    """
    return f"{FINAL}/{tag}"


def in_order(tags: Iterable[str]) -> list[str]:
    """Sorts the tags of final numbers: the ELBO first, then its parts; validation before test.

    >>> in_order(["test/kl", "val/kl", "test/elbo", "val/elbo", "test/baseline"])
    ['val/elbo', 'test/elbo', 'val/kl', 'test/kl', 'test/baseline']
    """

    def place(tag: str) -> tuple[int, str, bool]:
        split, _, term = tag.partition("/")
        return TERMS.index(term) if term in TERMS else len(TERMS), term, split != "val"

    return sorted(tags, key=place)


def columns(runs: Sequence[Mapping[str, Value]], first: Iterable[str], metrics: Iterable[str]) -> Any:
    """A summary that decides the columns of the tab.

    Args:
        runs: key -> value of the hyper-parameters of each run.
        first: the keys that come first.
        metrics: the tags of the final numbers, such as `test/elbo`.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    kinds = {float: api_pb2.DATA_TYPE_FLOAT64, str: api_pb2.DATA_TYPE_STRING}
    keys, first = dict.fromkeys(key for run in runs for key in run), set(first)
    hparams = []
    for key in keys:
        types = {type(run[key]) for run in runs if key in run}
        kind = kinds[types.pop() if len(types) == 1 else str]
        hparams.append(api_pb2.HParamInfo(name=key, type=kind, differs=key in first))
    numbers = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=final_tag(tag)), display_name=tag) for tag in in_order(metrics)
    ]
    content = plugin_data_pb2.HParamsPluginData(
        experiment=api_pb2.Experiment(hparam_infos=hparams, metric_infos=numbers), version=0
    )
    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=content.SerializeToString())
    value = Summary.Value(tag="_hparams_/experiment", metadata=SummaryMetadata(plugin_data=plugin))
    return Summary(value=[value])
