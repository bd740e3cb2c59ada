"""Readers of files from strangers, given anything at all: numbers, or one sentence; never a crash, a hang, or a memory
that has nothing to do with the size of the file.

EXAMPLES=1250 python -m pytest tests/data/test_any_bytes.py tries 10,000 files.
"""

import gzip
import io
import os
import struct
import time
import tracemalloc
from collections import defaultdict

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vaelab.checkpoint import read_checkpoint
from vaelab.data import Reading, read_chunks
from vaelab.data.readers.selection import Selection
from vaelab.data.readers.source import CHUNK_BYTES

EXAMPLES = int(os.environ.get("EXAMPLES", "15"))
ROWS = np.arange(35.0).reshape(7, 5)
SECONDS = 5.0


def npy(rows=ROWS):
    file = io.BytesIO()
    np.save(file, rows)
    return file.getvalue()


def npz():
    file = io.BytesIO()
    np.savez_compressed(file, x=ROWS, y=ROWS[0])
    return file.getvalue()


def columns_npz():
    file = io.BytesIO()
    np.savez(file, a=ROWS, b=np.arange(7), kind=np.array(["rose", "lily"] * 3 + [""]))
    return file.getvalue()


def parquet(**more):
    import pyarrow
    from pyarrow import parquet as writer

    file = io.BytesIO()
    writer.write_table(pyarrow.table({"a": ROWS[:, 0], "b": ROWS.tolist(), **more}), file)
    return file.getvalue()


def classes():
    import pyarrow

    return pyarrow.array(["rose", "lily", None, "rose", "oak", "oak", "rose"]).dictionary_encode()


def picture():
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(ROWS.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def checkpoint():
    file = io.BytesIO()
    torch.save({"state_dict": {"w": torch.arange(9.0)}, "hyper_parameters": {"x_shape": [3]}}, file)
    return file.getvalue()


IDX = struct.pack(">4I", 0x803, 7, 2, 3) + bytes(range(42))
WHOLE = {
    "rows.npy": npy(),
    "rows.npz": npz(),
    "rows.csv": b"a,b,c\n" + b"".join(b"%d,%.2f,7\n" % (i, i / 3) for i in range(9)),
    "gaps.csv": b"".join(b'%d;%.2f;"-"\n' % (i, i / 3) for i in range(9)) + b"5;6;7\n",
    "rows.parquet": parquet(),
    "kinds.csv": b",a,kind,b\n" + b"".join(b'%d,%.2f,"rose, red",7\n' % (i, i / 3) for i in range(9)),
    "kinds.npz": columns_npz(),
    "kinds.parquet": parquet(kind=classes()),
    "rows-idx3-ubyte": IDX,
    "rows-idx3-ubyte.gz": gzip.compress(IDX, mtime=0),
    "pictures/0.png": picture(),
    "last.ckpt": checkpoint(),
}


@st.composite
def damaged(draw, whole):
    """Any bytes, or a valid file that was changed in a few places."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    content = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        match draw(st.sampled_from(["flip", "cut", "insert", "repeat", "large"])):
            case "flip" if content:
                content[at] = draw(st.integers(0, 255))
            case "cut":
                del content[at : at + draw(st.integers(1, 60))]
            case "insert":
                content[at:at] = draw(st.binary(min_size=1, max_size=12))
            case "repeat":
                content[at:at] = content[at : at + 30] * draw(st.integers(1, 20))
            case "large":
                content[at : at + 4] = draw(
                    st.sampled_from([b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x00\x00\x00\x80", b"9999"])
                )
    return bytes(content)


@pytest.mark.parametrize("name", WHOLE)
def test_any_bytes_are_read_or_refused(name, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    ends = {"read": 0, "refused": 0}
    ways = defaultdict(Reading, {"gaps": Reading(header=False, missing="drop"), "0.pn": Reading(background=7)})
    ways["kind"] = Reading(selection=Selection(label="kind"))

    def read():
        if path.suffix == ".ckpt":
            read_checkpoint(path)
        else:
            for chunk in read_chunks(path.parent if path.suffix == ".png" else path, reading=ways[path.name[:4]]):
                assert chunk.numel()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(damaged(WHOLE[name]))
    def attempt(content):
        path.write_bytes(content)
        tracemalloc.reset_peak()
        start = time.perf_counter()
        try:
            read()
            ends["read"] += 1
        except ValueError as error:
            ends["refused"] += 1
            sentence = str(error)
            assert str(tmp_path) in sentence, sentence
            assert "\n" not in sentence
        assert time.perf_counter() - start < SECONDS
        assert tracemalloc.get_traced_memory()[1] < 10 * len(content) + 3 * CHUNK_BYTES

    path.write_bytes(WHOLE[name])
    read()  # imports what it needs
    tracemalloc.start()
    try:
        attempt()
    finally:
        tracemalloc.stop()
    assert ends["refused"] > 0
    assert sum(ends.values()) >= EXAMPLES
