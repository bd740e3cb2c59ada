"""Facts about data that a run's config keeps, so that its model can be built without them."""

from typing import Any

from vaelab.data.data_module import DataModule


def condition_shape_of(data: DataModule) -> tuple[int, ...] | None:
    """The shape of the data's condition; None if they have none."""
    return getattr(data, "condition_shape", None)


def shapes_of_data(data: DataModule) -> dict[str, list[int] | None]:
    """The shapes of x, target and condition; None for the condition if there is none."""
    condition_shape = condition_shape_of(data)
    return {
        "x_shape": list(data.x_shape),
        "target_shape": list(data.target_shape),
        "condition_shape": list(condition_shape) if condition_shape else None,
    }


def data_facts(data: DataModule) -> dict[str, Any]:
    """What a run's config says about its data, so that the run loads without them."""
    classes = getattr(data, "condition_names", None)
    return {
        **shapes_of_data(data),
        "x_names": list(data.x_names) if data.x_names else None,
        "condition_names": list(classes) if classes else None,
        **model_facts(data),
        "fingerprint": data.fingerprint(),
    }


def model_facts(data: DataModule) -> dict[str, Any]:
    """Facts about data that the model is built from, besides its shapes."""
    kinds, categories = (getattr(data, name, None) for name in ("column_kinds", "column_categories"))
    return {
        "standardize": bool(getattr(data, "standardize", False)),
        "train_size": data.size_of("train"),
        "levels": data.levels,
        "column_kinds": None if kinds is None else list(kinds),
        "column_categories": None if categories is None else [list(names) for names in categories],
    }
