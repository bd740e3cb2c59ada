"""The label of an image as a condition: one-hot, beside its own image in every batch, at no cost without one."""

import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from lightning.pytorch import Trainer
from torch.testing import assert_close

from helpers.idx_files import (
    TEST,
    TEST_LABELS,
    TRAIN,
    TRAIN_LABELS,
    coded_images,
    write_idx_images,
    write_idx_labels,
    write_small_mnist,
)
from helpers.runner import compose_config
from vaelab import VAE
from vaelab.data import MNIST, Array, Sine
from vaelab.data.batches import Batches
from vaelab.data.condition import one_hot
from vaelab.families import Bernoulli, DiagonalGaussian
from vaelab.networks import MLP
from vaelab.objectives import ELBO
from vaelab.priors import StandardNormal
from vaelab.training import VAEModule

N_TRAIN, N_VAL, N_TEST = 23, 6, 11  # of the training file's 29 images the last six validate
CLASSES = [1, 3, 4, 9]
SPLITS = {"train": (0, N_TRAIN), "val": (N_TRAIN, N_TRAIN + N_VAL), "test": (0, N_TEST)}
PARTS = pytest.mark.parametrize("split", SPLITS)
SUPPORTS = pytest.mark.parametrize("support", ["binary", "unit_interval", "real"])


def random_labels(n: int, seed: int) -> torch.Tensor:
    """(n,), each of the classes at least once."""
    more = torch.randint(len(CLASSES), (n - len(CLASSES),), generator=torch.Generator().manual_seed(seed))
    return torch.tensor(CLASSES)[torch.cat([torch.arange(len(CLASSES)), more])]


@pytest.fixture
def folder(tmp_path):
    """An image set in which each image spells its place in its file, so that its label is known."""
    write_idx_images(tmp_path / TRAIN, coded_images(N_TRAIN + N_VAL, 3, 2))
    write_idx_images(tmp_path / TEST, coded_images(N_TEST, 3, 2))
    write_idx_labels(tmp_path / TRAIN_LABELS, random_labels(N_TRAIN + N_VAL, 5))
    write_idx_labels(tmp_path / TEST_LABELS, random_labels(N_TEST, 6))
    return tmp_path


def ready(folder, condition="label", **options) -> MNIST:
    sizes = {"val_size": N_VAL, "batch_size": 7, "eval_batch_size": 4}
    data = MNIST(str(folder), **sizes | options, condition=condition)
    data.setup()
    return data


def places(x: torch.Tensor) -> torch.Tensor:
    """Where in its file each image lies, read from its pixels: (n, 1, 3, 2) -> (n,)."""
    return ((x.flatten(1) > 0.5).long() * 2 ** torch.arange(6)).sum(-1) - 1


def expected(split: str, x: torch.Tensor) -> torch.Tensor:
    """The one-hot labels of these images, as the file of labels has them."""
    labels = random_labels(N_TEST, 6) if split == "test" else random_labels(N_TRAIN + N_VAL, 5)
    return (labels[places(x)].unsqueeze(-1) == torch.tensor(CLASSES)).float()


def loader(data: MNIST, split: str) -> Batches:
    return getattr(data, f"{split}_dataloader")()


@PARTS
@SUPPORTS
@pytest.mark.parametrize("resample", [False, True])
def test_every_image_comes_with_its_own_label(folder, split, support, resample):
    data = ready(folder, support=support, resample=resample)
    for batches in (loader(data, split), data.batches(split), data.batches(split, 5)):
        seen = []
        for x, target, condition in batches:
            assert target is x
            assert condition.dtype == torch.float32
            assert_close(condition, expected(split, x), rtol=0, atol=0)
            seen.append(places(x))
        assert torch.cat(seen).sort().values.tolist() == list(range(*SPLITS[split]))


def test_training_batches_are_shuffled_with_their_labels(folder):
    data = ready(folder)
    orders = [torch.cat([places(x) for x, *_ in data.train_dataloader()]).tolist() for _ in range(2)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(N_TRAIN))


@PARTS
@SUPPORTS
def test_the_images_are_those_that_are_served_without_labels(folder, split, support):
    served = []
    for condition in (None, "label"):
        data = ready(folder, condition, support=support)
        torch.manual_seed(3)
        served.append([batch[:2] for batch in loader(data, split)] + [torch.get_rng_state()])
    assert_close(*served, rtol=0, atol=0)


def test_without_a_condition_batches_are_pairs(folder):
    data = ready(folder, None)
    assert {len(batch) for split in SPLITS for batch in (*loader(data, split), *data.batches(split))} == {2}
    assert (data.condition_shape, data.condition_names, dict(data.conditions)) == (None, None, {})
    assert "condition" not in data.describe()


def test_classes_are_named_by_their_labels(folder):
    data = ready(folder)
    assert data.condition_shape == (4,)
    assert data.condition_names == ("1", "3", "4", "9")
    assert data.describe()["condition"] == "label"


def test_a_trained_model_decides_the_order_of_the_classes(folder):
    own, other = ready(folder), MNIST(str(folder), val_size=N_VAL, condition="label")
    other.model_condition_names = ("9", "4", "7", "3", "1")
    other.setup()
    assert other.condition_shape == (5,)
    places_of = [other.model_condition_names.index(name) for name in own.condition_names]
    for split in SPLITS:
        assert_close(other.conditions[split][:, places_of], own.conditions[split], rtol=0, atol=0)
        assert other.conditions[split].sum() == len(own.conditions[split])


@PARTS
def test_the_checksum_of_a_split_covers_its_condition(folder, split):
    plain, conditional = ready(folder, None), ready(folder)
    images = conditional.examples(split)[0].numpy().tobytes()
    assert plain.checksum(split) == f"{zlib.crc32(images):08x}"
    assert conditional.checksum(split) == f"{zlib.crc32(images + conditional.conditions[split].numpy().tobytes()):08x}"


def test_the_fingerprint_covers_the_conditions(folder):
    before, plain = ready(folder).fingerprint(), ready(folder, None).fingerprint()
    labels = random_labels(N_TEST, 6)
    labels[-1] = 1 if labels[-1] != 1 else 3
    write_idx_labels(folder / TEST_LABELS, labels)
    assert ready(folder, None).fingerprint() == plain
    assert ready(folder).fingerprint() != before != plain


def test_processes_that_share_a_batch_share_its_labels(folder, monkeypatch):
    monkeypatch.setattr("torch.distributed.broadcast_object_list", lambda objects: None)
    data = ready(folder)
    parts = []
    for process in range(3):
        torch.manual_seed(4)
        x, _, condition = data._served("train")
        parts.append([*Batches(x, None, 7, True, data.redraw, (process, 3), condition=condition)])
    for batch in zip(*parts, strict=True):
        for x, _, condition in batch:
            assert len(x) == len(condition)
            assert_close(condition, expected("train", x), rtol=0, atol=0)


def test_a_resumed_pass_keeps_labels_and_images_together(folder):
    data = ready(folder)
    torch.manual_seed(2)
    first = data.train_dataloader()
    passing = iter(first)
    next(passing)
    state = first.state_dict()
    rest, again = list(passing), data.train_dataloader()
    again.load_state_dict(state)
    resumed = list(again)
    assert [places(x).tolist() for x, *_ in resumed] == [places(x).tolist() for x, *_ in rest]
    assert_close([batch[2] for batch in resumed], [batch[2] for batch in rest], rtol=0, atol=0)


def test_a_condition_may_have_any_shape_and_follows_its_row():
    x = torch.arange(23.0).unsqueeze(-1)
    condition = torch.stack([x, -x, x**2], dim=-1)  # (23, 1, 3)
    for rows, target, given in Batches(x, x.sin(), 5, shuffle=True, prepare=torch.neg, condition=condition):
        assert_close(target, (-rows).sin())
        assert_close(given, torch.stack([-rows, rows, rows**2], dim=-1), rtol=0, atol=0)


def test_one_hot_against_numpy():
    labels = torch.randint(5, (31,), generator=torch.Generator().manual_seed(1))
    names = ["0", "1", "2", "3", "4"]
    np.testing.assert_array_equal(one_hot(labels.tolist(), names, "").numpy(), np.eye(5, dtype=np.float32)[labels])
    assert one_hot([], names, "").shape == (0, 5)
    assert one_hot(["dog"], ["cat", "dog"], "").tolist() == [[0, 1]]


def test_a_label_that_the_model_does_not_know_is_refused(folder):
    labels = random_labels(N_TEST, 6)
    labels[7] = 8
    write_idx_labels(folder / TEST_LABELS, labels)
    with pytest.raises(
        ValueError, match=r"^every label must be one of .* \(1, 3, 4, 9\), but the test split of .* has 8;"
    ):
        ready(folder)


@pytest.mark.parametrize("file", [TRAIN_LABELS, TEST_LABELS])
def test_a_condition_needs_the_labels_of_both_files(folder, file):
    (folder / file).unlink()
    ready(folder, None)
    with pytest.raises(
        FileNotFoundError, match=rf"^condition=label needs the labels of all images: .*must hold {file}"
    ):
        ready(folder)


def test_labels_of_another_number_are_refused(folder):
    write_idx_labels(folder / TRAIN_LABELS, random_labels(N_TRAIN + N_VAL + 1, 5))
    with pytest.raises(ValueError, match="must hold a label for each of the 29 images, but holds 30"):
        ready(folder)


@pytest.mark.parametrize("condition", ["nonsense", "", True, ["label"]])
def test_an_unknown_condition_is_refused(condition):
    with pytest.raises(ValueError, match=r"^condition must be null or label, but is"):
        MNIST(condition=condition)


@pytest.mark.parametrize("make", [Sine, lambda condition: Array("rows.npy", condition=condition)])
@pytest.mark.parametrize("condition", ["label", "nonsense"])
def test_data_without_labels_refuse_a_condition(make, condition):
    with pytest.raises(ValueError, match=rf"^condition must be null .* no labels, but is {condition}; .*data=mnist$"):
        make(condition=condition)


@pytest.mark.parametrize("option", ["sine", "sine_surface", "array", "mnist"])
def test_the_key_reaches_every_option_of_data(option, tmp_path):
    rows = tmp_path / "rows.npy"
    np.save(rows, np.zeros((5, 3)))
    path = [f"data.path={rows}"] * (option == "array")
    assert instantiate(compose_config(Path("unused"), f"data={option}", *path).data).condition is None
    config = compose_config(Path("unused"), f"data={option}", "condition=label", *path).data
    assert config.condition == "label"
    if option == "mnist":
        assert instantiate(config).condition == "label"
    else:
        with pytest.raises(Exception, match=r"condition must be null .* but is label"):
            instantiate(config)


class Watched(ELBO):
    """The ELBO, which keeps every x and condition that it is given."""

    pure = False  # so that every step asks it

    def __call__(self, vae, x, target, condition=None):
        seen.append((x, condition))
        return super().__call__(vae, x, target, condition)


seen: list[tuple[torch.Tensor, torch.Tensor]] = []


def test_a_run_trains_validates_and_tests_with_the_label_of_each_image(folder):
    data = ready(folder)
    network = partial(MLP, hidden=[5])
    vae = VAE.build(
        data.x_shape, DiagonalGaussian((2,)), Bernoulli(data.target_shape), StandardNormal((2,)), network, 4
    )
    trainer = Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    module = VAEModule(vae, Watched(), partial(torch.optim.Adam, lr=0.01))
    seen.clear()
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    labels, kinds = {"file": random_labels(N_TRAIN + N_VAL, 5), "test": random_labels(N_TEST, 6)}, set()
    assert sum(len(x) for x, _ in seen) >= 2 * (N_TRAIN + N_VAL) + N_TEST
    for x, condition in seen:
        at, given = places(x), torch.tensor(CLASSES)[condition.argmax(-1)]
        names = [name for name, known in labels.items() if len(known) > at.max() and known[at].equal(given)]
        assert names
        kinds.update(names)
    assert kinds == {"file", "test"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_conditions_lie_on_the_gpu(tmp_path):
    write_small_mnist(tmp_path)
    write_idx_labels(tmp_path / TRAIN_LABELS, random_labels(30, 5))
    write_idx_labels(tmp_path / TEST_LABELS, random_labels(11, 6))
    data = ready(tmp_path)
    data.trainer = Trainer(accelerator="gpu", logger=False, enable_checkpointing=False)
    on_cpu = data.conditions
    for split in SPLITS:
        for x, _, condition in loader(data, split):
            assert x.is_cuda
            assert condition.is_cuda
    torch.testing.assert_close(torch.cat([batch[2] for batch in data.test_dataloader()]).cpu(), on_cpu["test"])
