"""Writes what TensorBoard shows of a whole sweep: its plots, and the columns of the HParams tab."""

import io
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vaelab.hparams_tab import USUAL, columns, value_typed
from vaelab.sweeps.rows import Row
from vaelab.whole_files import write_whole


def write_images(folder: Path, drawn: Mapping[str, bytes], rows: Sequence[Row] = ()) -> None:
    """Writes an event file, which replaces an earlier one.

    Args:
        folder: the folder of the sweep. TensorBoard shows it as a separate run, beside the runs below this folder.
        drawn: names of files -> their contents, PNG.
        rows: the runs of the sweep, which decide the columns of the HParams tab if the folder is a sweep's own.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    for old in folder.glob("events.out.tfevents.*.comparison"):
        with suppress(OSError):  # it may be a folder
            old.unlink()
    has_columns = bool(rows) and (folder / "multirun.yaml").is_file()
    if not drawn and not has_columns:
        return
    now, contents = time.time(), io.BytesIO()
    events = [Event(wall_time=now, file_version="brain.Event:2")]
    for name, png in drawn.items():
        width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))  # of a PNG's first chunk
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        value = Summary.Value(tag=f"view of all runs/{Path(name).stem}", image=image)
        events.append(Event(wall_time=now, step=0, summary=Summary(value=[value])))
    if has_columns:
        events.append(Event(wall_time=now, step=0, summary=_columns(rows)))
    for event in events:
        RecordWriter(contents).write(event.SerializeToString())
    write_whole(folder / f"events.out.tfevents.{int(now)}.comparison", contents.getvalue())


def _columns(rows: Sequence[Row]) -> Any:
    """The columns of the HParams tab: the keys that vary come first."""
    runs = [{key: value_typed(text) for key, text in row.values.items()} for row in rows]
    keys = dict.fromkeys(key for run in runs for key in run)
    varying = [key for key in keys if len({run.get(key) for run in runs}) > 1]
    metrics = dict.fromkeys(tag for row in rows for tag in row.metrics if tag.startswith(("val/", "test/")))
    usual = {key: value for key, value in USUAL.items() if key not in keys}
    return columns([*runs, usual], varying, [tag for tag in metrics if " " not in tag])
