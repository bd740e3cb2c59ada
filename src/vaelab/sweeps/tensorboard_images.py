"""Writes pictures that TensorBoard shows as images of a sweep."""

import io
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from vaelab.whole_files import write_whole


def write_images(folder: Path, drawn: Mapping[str, bytes]) -> None:
    """Writes pictures to an event file, which replaces an earlier one.

    Args:
        folder: the folder of the sweep. TensorBoard shows it as a separate run, beside the runs below this folder.
        drawn: names of files -> their contents, PNG.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    for old in folder.glob("events.out.tfevents.*.comparison"):
        with suppress(OSError):  # it may be a folder
            old.unlink()
    if not drawn:
        return
    now, contents = time.time(), io.BytesIO()
    events = [Event(wall_time=now, file_version="brain.Event:2")]
    for name, png in drawn.items():
        width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))  # of a PNG's first chunk
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        value = Summary.Value(tag=f"comparison/{Path(name).stem}", image=image)
        events.append(Event(wall_time=now, step=0, summary=Summary(value=[value])))
    for event in events:
        RecordWriter(contents).write(event.SerializeToString())
    write_whole(folder / f"events.out.tfevents.{int(now)}.comparison", contents.getvalue())
