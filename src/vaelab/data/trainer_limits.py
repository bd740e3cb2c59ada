"""Works out how much of each split a run uses, given `trainer.limit_*_batches`, `overfit_batches`, `fast_dev_run`."""

from typing import Any

from lightning.pytorch import Trainer

from vaelab.checks import SPLITS
from vaelab.data.data_module import DataModule


def check_limits(trainer: Trainer, data: DataModule) -> None:
    """Raises a ValueError if a limit is a fraction that amounts to less than one minibatch of a split."""
    overfit = bool(trainer.overfit_batches)  # type: ignore[attr-defined]  # Lightning sets it late
    for split in SPLITS:
        limit = _limit(trainer, split)
        if not isinstance(limit, float) or not limit or (batches := _batches(trainer, data, split)) is None:
            continue
        if not int(batches * limit):
            flag = "overfit_batches" if overfit and split != "test" else f"limit_{split}_batches"
            raise ValueError(
                f"trainer.{flag} must leave at least one of the {batches} minibatches of the split {split}, but is "
                f"{limit}; use trainer.{flag}=1 for one minibatch"
            )


def what_is_scored(trainer: Trainer, data: DataModule) -> dict[str, str]:
    """Entries for data.json if a run scores only a part of a split: `val_scored`, `test_scored`, and `fast_dev_run`.

    Numbers over different examples cannot be compared, even if the splits are the same.
    """
    found = {f"{split}_scored": _part(trainer, data, split) for split in ("val", "test")}
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        found["fast_dev_run"] = f"{int(trainer.fast_dev_run)} minibatches"  # type: ignore[attr-defined]
    return {key: part for key, part in found.items() if part}


def _part(trainer: Trainer, data: DataModule, split: str) -> str:
    """The scored part of a split, in words; empty if everything is scored, or nothing."""
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
    """The limit as a number of minibatches or a fraction. Lightning has already applied the other two options."""
    limit: int | float = getattr(trainer, f"limit_{split}_batches")
    return limit


def _batches(trainer: Trainer, data: DataModule, split: str) -> int | None:
    """The number of minibatches in a pass over a split; None if there is no such split, or it has its own loader."""
    own = getattr(type(data), f"{split}_dataloader") is not getattr(DataModule, f"{split}_dataloader")
    return None if own or not hasattr(data, split) else -(-_rows(data, split) // _size(trainer, data, split))


def _rows(data: DataModule, split: str) -> int:
    return len(data.examples(split)[0])


def _size(trainer: Any, data: DataModule, split: str) -> int:
    """The number of examples in a minibatch, as in the loaders of `DataModule`."""
    if split == "val":
        return data.val_batch_size(trainer.overfit_batches)
    return data.batch_size if split == "train" else data.eval_batch_size
