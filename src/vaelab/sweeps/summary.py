"""The cells of sweeps side by side: tables, plots, and the files that hold them."""

import io
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from vaelab.escapes import for_terminal
from vaelab.sweeps.plots import PANELS, pictures
from vaelab.sweeps.ranking import groups_of
from vaelab.sweeps.rows import read_rows
from vaelab.sweeps.tables import as_csv, as_markdown, as_text
from vaelab.whole_files import write_whole


def summarise(folders: Sequence[Path], output: Path | None) -> tuple[int, str]:
    """Compares the runs in these folders; -> how many are not done, and the tables as text.

    Args:
        folders: runs or sweeps.
        output: a folder for summary.csv, summary.md and the plots; None writes nothing.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: one holds no run.
        OSError: the summary cannot be written.
    """
    rows = read_rows(folders)
    text = as_text(rows)
    if output is not None:
        drawn = {f"{name}.png": picture.render() for name, picture in pictures(rows).items()}
        files = {"summary.csv": as_csv(rows).encode(), "summary.md": as_markdown(rows, list(drawn)).encode(), **drawn}
        for name, contents in files.items():
            write_whole(output / name, contents)
        _show_in_tensorboard(output, drawn)
        if len(groups_of(rows)) > PANELS:
            text += f"\n\nThe plots show the tables with the most runs, at most {PANELS}."
        text += "\n\n" + "  ".join(["written", *(for_terminal(output / name) for name in files)])
    return sum(row.state != "done" for row in rows), text


def _show_in_tensorboard(folder: Path, drawn: Mapping[str, bytes]) -> None:
    """The plots as images of a run of their own, in place of those of an earlier summary."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    for old in folder.glob("events.out.tfevents.*.comparison"):
        with suppress(OSError):  # it may be a folder of that name
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
