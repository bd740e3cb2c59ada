"""The constructors that a run's config may name, and the kind of value for each of their keys.

These are constructors of torch, Lightning and Optuna, and those of vaelab that write files, because their annotations
would admit paths, addresses and objects. The kinds of vaelab's other constructors come from their annotations.
"""

import os
from pathlib import Path
from typing import Any

from vaelab.runs.schema import (
    COLUMN,
    COLUMNS,
    CURVE,
    DURATION,
    DURATIONS,
    FILE_NAME,
    FLAG,
    INSIDE,
    NAME,
    NOTHING,
    NUMBER,
    OBJECT,
    SHAPE,
    TEXT,
    WHOLE,
    Kind,
    Kinds,
    choice,
    listed,
    whole,
)

THREADS = 256


def keys(names: str, kind: Kind) -> dict[str, Kind]:
    """The same kind, or null, for several keys."""
    return dict.fromkeys(names.split(), kind | NOTHING)


def _are_devices(value: Any, at: Path) -> bool:
    import torch

    most = max(os.cpu_count() or 1, torch.cuda.device_count())
    numbers = value if type(value) is list else [value]
    return len(numbers) <= most and all(type(number) is int and -1 <= number <= most for number in numbers)


DEVICES = Kind("a number of processes that this machine has processors for", _are_devices)
TRAINER: Kinds = {
    **keys("accelerator", choice("auto", "cpu", "gpu", "cuda", "mps", "tpu", "hpu")),
    **keys("strategy", choice("auto", "ddp", *(f"ddp_find_unused_parameters_{each}" for each in ("true", "false")))),
    **keys("devices", DEVICES | choice("auto")),
    **keys("num_nodes", whole(1, 1)),
    **keys("precision", NUMBER | NAME),
    **keys("max_epochs min_epochs max_steps min_steps num_sanity_val_steps check_val_every_n_epoch", WHOLE),
    **keys("log_every_n_steps accumulate_grad_batches reload_dataloaders_every_n_epochs", WHOLE),
    **keys("max_time", DURATION | DURATIONS),
    **keys("limit_train_batches limit_val_batches limit_test_batches limit_predict_batches", NUMBER),
    **keys("overfit_batches val_check_interval gradient_clip_val", NUMBER),
    **keys("fast_dev_run", FLAG | whole(0)),
    **keys("gradient_clip_algorithm", choice("norm", "value")),
    **keys("deterministic", FLAG | choice("warn")),
    **keys("benchmark inference_mode use_distributed_sampler detect_anomaly barebones sync_batchnorm", FLAG),
    **keys("enable_progress_bar enable_model_summary enable_checkpointing enable_autolog_hparams", FLAG),
    **keys("profiler", choice("simple", "advanced", "pytorch")),
    **keys("default_root_dir", INSIDE),
    **keys("callbacks logger model_registry", NOTHING),
}
LOGGERS: dict[str, Kinds] = {
    "lightning.pytorch.loggers.TensorBoardLogger": {
        "save_dir": INSIDE,
        **keys("name prefix sub_dir comment filename_suffix", NAME),
        **keys("version", NAME | WHOLE),
        **keys("log_graph default_hp_metric", FLAG),
        **keys("purge_step max_queue flush_secs", whole(0)),
    },
    "vaelab.training.CSVLogger": {"save_dir": INSIDE},
    "vaelab.training.WandbLogger": {
        "save_dir": INSIDE,
        "project": TEXT,
        **keys("name entity", TEXT),
        "offline": Kind("true unless you allow wandb (allow=wandb)", lambda value, at: value is True),
    },
    "vaelab.training.MLFlowLogger": {
        "save_dir": INSIDE,
        "experiment": TEXT,
        **keys("name", TEXT),
        "tracking_uri": Kind("null unless you allow mlflow (allow=mlflow)", lambda value, at: value is None),
    },
}
SENDING: dict[str, tuple[str, Kinds]] = {  # what a logger may also do if its package is allowed: send the run
    "vaelab.training.WandbLogger": ("wandb", {"offline": FLAG}),
    "vaelab.training.MLFlowLogger": ("mlflow", {"tracking_uri": TEXT | NOTHING}),
}
CALLBACKS: dict[str, Kinds] = {
    "lightning.pytorch.callbacks.ModelCheckpoint": {
        **keys("dirpath", INSIDE),
        **keys("filename", FILE_NAME),
        **keys("monitor", CURVE),
        **keys("mode", choice("min", "max")),
        **keys("save_top_k every_n_train_steps every_n_epochs", WHOLE),
        **keys("verbose save_last save_weights_only auto_insert_metric_name save_on_exception", FLAG),
        **keys("save_on_train_epoch_end enable_version_counter", FLAG),
    },
    "lightning.pytorch.callbacks.EarlyStopping": {
        **keys("monitor", CURVE),
        **keys("mode", choice("min", "max")),
        **keys("min_delta patience stopping_threshold divergence_threshold", NUMBER),
        **keys("verbose strict check_finite check_on_train_epoch_end log_rank_zero_only", FLAG),
    },
    "lightning.pytorch.callbacks.LearningRateMonitor": {
        **keys("logging_interval", choice("step", "epoch")),
        **keys("log_momentum log_weight_decay", FLAG),
    },
    "vaelab.training.LastCheckpoint": {
        **keys("dirpath", INSIDE),
        **keys("filename", NAME),
        **keys("seconds every_n_steps", NUMBER),
    },
    "vaelab.training.Pictures": {
        **keys("dirpath", INSIDE),
        **keys("every_n_epochs examples timeout", NUMBER),
    },
    "vaelab.training.Progress": keys("refresh_rate process_position leave", NUMBER | FLAG),
}
PLUGINS: dict[str, Kinds] = {"lightning.pytorch.plugins.environments.LightningEnvironment": {}}
FLAGS = keys("foreach maximize capturable differentiable fused", FLAG)
OPTIMIZERS: dict[str, Kinds] = {
    "torch.optim.Adam": {
        **keys("lr eps weight_decay", NUMBER),
        **keys("betas", listed(NUMBER)),
        **keys("amsgrad decoupled_weight_decay", FLAG),
        **FLAGS,
    },
    "torch.optim.AdamW": {
        **keys("lr eps weight_decay", NUMBER),
        **keys("betas", listed(NUMBER)),
        **keys("amsgrad", FLAG),
        **FLAGS,
    },
    "torch.optim.SGD": {**keys("lr momentum dampening weight_decay", NUMBER), **keys("nesterov", FLAG), **FLAGS},
    "torch.optim.RMSprop": {
        **keys("lr alpha eps weight_decay momentum", NUMBER),
        **keys("centered", FLAG),
        **FLAGS,
    },
    "torch.optim.LBFGS": {
        **keys("lr tolerance_grad tolerance_change", NUMBER),
        **keys("max_iter max_eval history_size", whole(0, 10_000)),
        **keys("line_search_fn", choice("strong_wolfe")),
    },
}
SCHEDULERS: dict[str, Kinds] = {"vaelab.training.CosineDecay": keys("eta_min", NUMBER)} | {
    f"torch.optim.lr_scheduler.{name}": {**keys("last_epoch", WHOLE), **kinds}
    for name, kinds in {
        "CosineAnnealingLR": keys("T_max eta_min", NUMBER),
        "ConstantLR": keys("factor total_iters", NUMBER),
        "ExponentialLR": keys("gamma", NUMBER),
        "LinearLR": keys("start_factor end_factor total_iters", NUMBER),
        "MultiStepLR": {**keys("milestones", listed(WHOLE)), **keys("gamma", NUMBER)},
        "OneCycleLR": {
            **keys("max_lr pct_start base_momentum max_momentum div_factor final_div_factor", NUMBER),
            **keys("total_steps epochs steps_per_epoch", WHOLE),
            **keys("anneal_strategy", choice("cos", "linear")),
            **keys("cycle_momentum three_phase", FLAG),
        },
        "StepLR": keys("step_size gamma", NUMBER),
    }.items()
}
PRUNERS: dict[str, Kinds] = {
    "vaelab.training.PruneTrial": {"storage": TEXT, "trial": whole(0), "metric": CURVE, "pruner": OBJECT},
    **{
        f"optuna.pruners.{name}": {
            **keys("n_startup_trials n_warmup_steps interval_steps n_min_trials percentile lower upper", NUMBER),
            **keys("min_resource max_resource reduction_factor min_early_stopping_rate bootstrap_count", NUMBER),
            **keys("patience min_delta p_threshold", NUMBER),
            "wrapped_pruner": OBJECT,
        }
        for name in (
            *("MedianPruner", "PercentilePruner", "SuccessiveHalvingPruner", "ThresholdPruner", "NopPruner"),
            *("HyperbandPruner", "PatientPruner", "WilcoxonPruner"),
        )
    },
}
KL = choice("closed_form", "monte_carlo") | NOTHING
TOP: Kinds = {  # keys of a config that hold no constructor
    **keys("latent_dim", whole(1)),
    **keys("seed", whole(0, 2**32 - 1)),
    **keys("score", CURVE),
    **keys("threads", whole(1, THREADS)),
    **keys("compile", FLAG),
    **keys("matmul_precision", choice("highest", "high", "medium")),
    **keys("resume", NOTHING),
    **keys("init_from", TEXT),  # it is only shown: a resumed run has its own weights
    "kl": KL,
    **keys("standardize", FLAG),
    **keys("levels", whole(2, 2**16)),
    **keys("condition", choice("label") | listed(TEXT)),
    **keys("x_shape target_shape condition_shape", SHAPE),
    # Names of columns and classes are only shown and compared, and placeholders in them are never filled in.
    **keys("x_names condition_names", listed(COLUMN, COLUMNS)),
    **keys("train_size", whole(1)),
    **keys("column_kinds", listed(choice("real", "count", "category", "binary"), COLUMNS)),
    **keys("column_categories", listed(listed(COLUMN), COLUMNS)),
    **keys("fingerprint", WHOLE | TEXT),
    **keys("folder", TEXT),
}
PACKAGES = {  # the package of a group's constructors, unless they come from an allowed package
    "model": "vaelab.families",
    "posterior": "vaelab.families",
    "prior": "vaelab.priors",
    "network": "vaelab.networks",
    "objective": "vaelab.objectives",
    "data": "vaelab.data",
}
TABLES = {"optimizer": OPTIMIZERS, "scheduler": SCHEDULERS}
NAMES = {"lightning.pytorch.Trainer", *LOGGERS, *CALLBACKS, *PLUGINS, *OPTIMIZERS, *SCHEDULERS, *PRUNERS}
