"""How much of each split a run sees, given `trainer.limit_*_batches`, `overfit_batches` and `fast_dev_run`."""

from typing import Any

from lightning.pytorch import Trainer

from vaelab.checks import SPLITS
from vaelab.data.data_module import DataModule


def check_limits(trainer: Trainer, data: DataModule) -> None:
    """Raises a ValueError if a fraction of the minibatches of a split is less than one of them."""
    overfit = bool(trainer.overfit_batches)  # type: ignore[attr-defined]  # Lightning sets it late
    for split in SPLITS:
        limit = _limit(trainer, split)
        if not isinstance(limit, float) or not limit or (batches := _batches(trainer, data, split)) is None:
            continue
        if not int(batches * limit):
            flag = "overfit_batches" if overfit and split != "test" else f"limit_{split}_batches"
            raise ValueError(
                f"trainer.{flag}={limit} must take at least one of the {batches} minibatches of the split {split}; use "
                f"trainer.{flag}=1 for one of them"
            )


def what_is_scored(trainer: Trainer, data: DataModule) -> dict[str, str]:
    """What data.json says if a run scores only a part of a split: `val_scored`, `test_scored`, and `fast_dev_run`.

    Numbers over different examples do not compare, even if the splits are the same.
    """
    found = {f"{split}_scored": _part(trainer, data, split) for split in ("val", "test")}
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        found["fast_dev_run"] = f"{int(trainer.fast_dev_run)} minibatches"  # type: ignore[attr-defined]
    return {key: part for key, part in found.items() if part}


def _part(trainer: Trainer, data: DataModule, split: str) -> str:
    """The part of a split that is scored, in words; empty if all of it is, or nothing."""
    limit = _limit(trainer, split)
    if not limit or not hasattr(data, split):
        return ""
    if (batches := _batches(trainer, data, split)) is None:
        return "" if isinstance(limit, float) and limit == 1 else f"trainer.limit_{split}_batches={limit}"
    taken = int(batches * limit) if isinstance(limit, float) else limit
    rows = _rows(data, split)
    scored = min(rows, taken * _size(trainer, data, split))
    return "" if scored == rows else f"first {scored} of {rows}"


def _limit(trainer: Trainer, split: str) -> int | float:
    """Minibatches, or a fraction of them; Lightning has put `overfit_batches` and `fast_dev_run` into it."""
    limit: int | float = getattr(trainer, f"limit_{split}_batches")
    return limit


def _batches(trainer: Trainer, data: DataModule, split: str) -> int | None:
    """Minibatches in a pass over a split; None if there is no such split, or if it has a loader of its own."""
    own = getattr(type(data), f"{split}_dataloader") is not getattr(DataModule, f"{split}_dataloader")
    return None if own or not hasattr(data, split) else -(-_rows(data, split) // _size(trainer, data, split))


def _rows(data: DataModule, split: str) -> int:
    return len(data.examples(split)[0])


def _size(trainer: Any, data: DataModule, split: str) -> int:
    """Examples in a minibatch, as the loaders of `DataModule` choose it."""
    if split == "val":
        return data.val_batch_size(trainer.overfit_batches)
    return data.batch_size if split == "train" else data.eval_batch_size
