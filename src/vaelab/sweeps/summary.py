"""Compares the runs of sweeps: tables, plots, and the files that hold them."""

from collections.abc import Sequence
from pathlib import Path

from vaelab.escapes import for_terminal
from vaelab.sweeps.plots import PANELS, pictures
from vaelab.sweeps.ranking import groups_of
from vaelab.sweeps.resolved_values import with_resolved_values
from vaelab.sweeps.rows import read_rows
from vaelab.sweeps.tables import as_csv, as_markdown, as_text
from vaelab.sweeps.tensorboard_images import write_images
from vaelab.whole_files import write_whole


def summarise(folders: Sequence[Path], output: Path | None) -> tuple[int, str]:
    """Compares the runs in these folders. Returns the number of runs that are not done, and the tables as text.

    Args:
        folders: the folders of runs or sweeps.
        output: a folder for summary.csv, summary.md and the plots; None writes nothing.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: a folder holds no run.
        OSError: the summary cannot be written.
    """
    rows = with_resolved_values(read_rows(folders))
    text = as_text(rows)
    if output is not None:
        drawn = {f"{name}.png": picture.render() for name, picture in pictures(rows).items()}
        files = {"summary.csv": as_csv(rows).encode(), "summary.md": as_markdown(rows, list(drawn)).encode(), **drawn}
        for name, contents in files.items():
            write_whole(output / name, contents)
        write_images(output, drawn, rows)
        if len(groups_of(rows)) > PANELS:
            text += f"\n\nThe plots show the tables with the most runs, at most {PANELS}."
        text += "\n\n" + "  ".join(["written", *(for_terminal(output / name) for name in files)])
    return sum(row.state != "done" for row in rows), text
