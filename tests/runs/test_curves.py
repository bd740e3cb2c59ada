"""`run.curves()` against the numbers that were logged, for runs in every state."""

import math

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

import vaelab
from helpers.remains import points
from helpers.runner import SHORT, TINY, run_train
from vaelab.runs.curves import read_curves, steps_per_epoch_of

LOGGED = {"train/elbo": {9: -3.0, 19: -2.5, 29: -2.25}, "val/elbo": {19: -2.75}}


def write_events(folder, curves, **options):
    writer = SummaryWriter(folder, **options)
    for tag, curve in curves.items():
        for step, value in curve.items():
            writer.add_scalar(tag, value, step)
    writer.close()


def test_a_curve_is_nan_where_it_has_no_point(tmp_path):
    final = {f"{prefix}/elbo": {30: 1.0} for prefix in ("when_done/val", "when_done/test", "final/val", "test")}
    write_events(tmp_path, LOGGED | final | {"when_done/val/baseline": {0: -1.0}, "epoch": {19: 1.0}})
    found = read_curves(tmp_path, steps_per_epoch=20)
    assert list(found) == ["step", "epoch", "train/elbo", "val/elbo"]
    assert found["step"].tolist() == [9, 19, 29]
    assert found["epoch"].tolist() == [1, 1, 2]
    assert found["train/elbo"].tolist() == [-3.0, -2.5, -2.25]
    np.testing.assert_equal(found["val/elbo"], [math.nan, -2.75, math.nan])


def test_pandas_takes_the_curves_of_a_run(tmp_path):
    pandas = pytest.importorskip("pandas")
    arguments = (*SHORT, *TINY, "trainer.max_epochs=3", "trainer.log_every_n_steps=3", "hydra.run.dir=run")
    assert run_train(tmp_path, *arguments).returncode == 0
    run = vaelab.load_run(tmp_path / "run")
    table = pandas.DataFrame(run.curves())
    logged = points(tmp_path / "run")
    assert len(table) == 6  # 4 steps in each epoch, with a point after the third and the last
    assert table.step.tolist() == [2, 3, 6, 7, 10, 11]
    assert table.epoch.tolist() == [1, 1, 2, 2, 3, 3]
    for tag in ("train/elbo", "train/kl", "val/elbo", "val/loss"):
        curve = table.set_index("step")[tag].dropna()
        assert list(curve.items()) == [(step, pytest.approx(value)) for step, value in logged[tag]]
    assert run.metrics["val/elbo"] >= table["val/elbo"].max() - 1e-6  # the best weights are scored
    assert not {"epoch", "test/elbo"} & set(table.columns[2:])


def test_a_resumed_run_has_each_step_once(tmp_path):
    """Points that were written again replace the old ones, and later old ones are dropped."""
    write_events(tmp_path, {"train/elbo": {9: 1.0, 19: 2.0, 29: 3.0, 39: 4.0}, "val/elbo": {29: 5.0}})
    first = next(tmp_path.glob("events*"))
    first.rename(first.with_name("events.out.tfevents.1000000000.a_long_name_of_a_machine_far_away.123456789.0"))
    write_events(tmp_path, {"train/elbo": {19: 7.0, 29: 8.0}})
    found = read_curves(tmp_path)
    assert dict(zip(found["step"], found["train/elbo"], strict=True)) == {9: 1.0, 19: 7.0, 29: 8.0}
    assert found["val/elbo"].tolist()[-1] == 5.0
    assert found["epoch"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("lost", [1, 3, 11, 40])
def test_a_run_that_is_still_writing_gives_its_complete_points(lost, tmp_path):
    write_events(tmp_path, {"train/elbo": {9: 1.0, 19: 2.0, 29: 3.0}})
    path = next(tmp_path.glob("events*"))
    path.write_bytes(path.read_bytes()[:-lost])
    assert read_curves(tmp_path)["train/elbo"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("own", [True, False])
def test_curves_are_read_from_a_csv_logger_too(own, tmp_path):
    from lightning.pytorch.loggers import CSVLogger

    logger = vaelab.training.CSVLogger(tmp_path) if own else CSVLogger(tmp_path, name="", version="")
    for tag, curve in LOGGED.items():
        for step, value in curve.items():
            logger.log_metrics({tag: value, "epoch": 0.0}, step)
    logger.log_metrics({"test/elbo": 1.0}, 30)
    logger.save()
    write_events(tmp_path / "as_events", LOGGED)
    one, other = read_curves(tmp_path), read_curves(tmp_path / "as_events")
    assert set(one) == set(other)
    for name in one:
        np.testing.assert_equal(one[name], other[name])


def test_a_row_that_is_still_being_written_is_left_out(tmp_path):
    (tmp_path / "curves.csv").write_text("step,train/elbo,val/elbo\n49,-2.5,\n99,,-2.25\n149,-1")
    found = read_curves(tmp_path)
    assert found["step"].tolist() == [49, 99]
    np.testing.assert_equal(found["train/elbo"], [-2.5, math.nan])


def test_a_run_without_curves_has_empty_ones(tmp_path):
    found = read_curves(tmp_path, 5)
    assert list(found) == ["step", "epoch"]
    assert all(len(column) == 0 for column in found.values())


def test_files_that_are_no_curves_are_refused(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,train/elbo\n1,two\n")
    with pytest.raises(ValueError, match=r"metrics.csv must be a table with a column step, .* could not convert"):
        read_curves(tmp_path)
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "events.out.tfevents.1.host.1.0").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"must be an ordinary file, but is a link"):
        read_curves(tmp_path)


def test_a_tensor_that_claims_to_fill_the_memory_is_no_point(tmp_path):
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=10**15)])
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
    tensor = TensorProto(dtype=1, tensor_shape=shape, float_val=[1.0])
    value = Summary.Value(tag="train/elbo", metadata=metadata, tensor=tensor)
    writer = SummaryWriter(tmp_path)
    writer._get_file_writer().add_summary(Summary(value=[value]), 9)
    writer.add_scalar("train/elbo", -1.5, 19)
    writer.close()
    assert read_curves(tmp_path)["train/elbo"].tolist() == [-1.5]


@pytest.mark.parametrize("contents", [b"", b"\0" * 999, bytes(range(256)) * 9])
def test_other_bytes_hold_no_points(contents, tmp_path):
    (tmp_path / "events.out.tfevents.1.host.1.0").write_bytes(contents)
    assert len(read_curves(tmp_path)["step"]) == 0


@pytest.mark.parametrize(
    ("current", "total", "epochs", "is_last", "accumulate", "steps"),
    [
        (7, 7, 0, True, 1, 7),  # at the end of the first epoch
        (3, 17, 2, False, 1, 7),  # within the third
        (3, 3, 0, False, 1, None),  # within the first
        (0, 0, 0, False, 1, None),
        (7, 14, 1, True, 2, 4),  # minibatches 1-2, 3-4, 5-6 and 7
    ],
)
def test_the_steps_of_an_epoch_come_from_the_counters(current, total, epochs, is_last, accumulate, steps):
    batches = {"total": {"completed": total}, "current": {"completed": current}, "is_last_batch": is_last}
    loop = {"epoch_loop.batch_progress": batches, "epoch_progress": {"total": {"completed": epochs}}}
    config = {"trainer": {"accumulate_grad_batches": accumulate}}
    assert steps_per_epoch_of({"loops": {"fit_loop": loop}, "hyper_parameters": config}) == steps
    assert steps_per_epoch_of({}) is None
