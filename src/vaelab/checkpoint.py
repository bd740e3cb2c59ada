"""Checkpoints on disk: written whole, read as data, and refused if they are broken or cost more than their size."""

import io
import os
import pickletools
import zipfile
from collections import OrderedDict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import torch
from torch import Tensor

from vaelab.files import open_regular
from vaelab.whole_files import write_whole

STORAGES = ("Float", "Double", "Half", "BFloat16", "Byte", "Char", "Short", "Int", "Long", "Bool")
NAMED = {  # all that a checkpoint's pickle may name; torch's own list is longer, and `bytearray(10**12)` is on it
    "collections OrderedDict",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor_v2",
    *(f"torch {name}Storage" for name in STORAGES),
}
PLAIN = (str, int, float, bool, type(None))
CONTAINERS = (dict, OrderedDict, list, tuple)
HIDES = {"EXT1", "EXT2", "EXT4", "INST", "OBJ", "STACK_GLOBAL"}  # instructions that name what cannot be seen ahead
DIRECTORY = 1 << 22  # bytes of the archive's list of its parts
PICKLE = 1 << 23  # bytes of what says how the tensors belong together
STEPS = 200_000  # instructions of the pickle, and values that it makes, counted as often as they are met
DEPTH = 60  # containers inside each other
ZIP = b"PK\3\4"  # how an archive begins
SPARSE = 1 << 28  # bytes from which a file must be on the disk and not a hole in it
LARGEST = 2**64
SHARED = 2  # times that the numbers in a file may be named: tied weights have two names


def write_checkpoint(path: Path, content: dict[str, Any], within: Path | None = None) -> None:
    """Writes a checkpoint that is either whole or as it was; `within` as in `vaelab.whole_files.write_whole`.

    Raises:
        OSError: it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getbuffer(), within)


def read_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """A checkpoint's content: tensors and plain containers, nothing that runs (`weights_only=True`).

    If its run's folder has been moved, the paths inside it are those of now.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a checksum in it is wrong, or it is no checkpoint.
    """
    try:
        with open_regular(path, follow=True) as file:
            _check_archive(file)
            size = os.fstat(file.fileno()).st_size
            content = torch.load(file, map_location=map_location, weights_only=True)
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}")
        _check_plain(content, size)
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile and torch raise what the broken part of the file leads to
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "it ends early"
        raise ValueError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}: {reason}); use another of the run's "
            "checkpoints, or train it again"
        ) from error
    config = content.get("hyper_parameters")
    before = config.get("folder") if isinstance(config, dict) else None
    if isinstance(before, str) and path.parent.name == "checkpoints":
        for key in {"hyper_parameters", "callbacks"} & content.keys():
            content[key] = _moved(content[key], {before, os.path.realpath(before)}, str(path.resolve().parent.parent))
    return content


def _check_archive(file: BinaryIO) -> None:
    """Raises if an archive is broken, or if reading it would cost more than its size on the disk."""
    found = os.fstat(file.fileno())
    if found.st_size > SPARSE and found.st_blocks * 512 < found.st_size // 2:
        raise ValueError("most of it is a hole in the disk, and no run leaves one")
    if file.read(len(ZIP)) != ZIP:
        raise ValueError("it does not begin as an archive")  # torch would read it as a bare pickle
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # the list is read as a whole when it is opened
    if end and end[5] > DIRECTORY:
        raise ValueError("it has more parts than any checkpoint")
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        if any(record.file_size > record.compress_size for record in records):
            raise ValueError("it holds more than its size, and no checkpoint is compressed")
        if sum(record.file_size for record in records) > found.st_size:
            raise ValueError("its parts hold more than its size, so they overlap")
        if broken := archive.testzip():  # torch.load looks at no checksum
            raise ValueError(f"the checksum of {broken} is wrong")
        if end and archive.start_dir != end[6]:
            raise ValueError("its list of parts is in the wrong place")
        record = _pickle_in(records)
        _check_pickle(archive.read(record) if record.file_size <= PICKLE else b"")
    file.seek(0)


def _pickle_in(records: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    """The one pickle of an archive; torch finds parts without regard to case, so names must differ without it too."""
    names = [record.filename.lower() for record in records]
    if len(set(names)) < len(names):
        raise ValueError("it has two parts of one name")
    if any("/code/" in f"/{name}" for name in names):
        raise ValueError("it holds a program, and no checkpoint of a run does")
    pickles = [record for record, name in zip(records, names, strict=True) if name.endswith(".pkl")]
    if len(pickles) != 1 or not pickles[0].filename.endswith("/data.pkl"):
        raise ValueError(f"it must have one pickle, called data.pkl, but has {len(pickles)}, or another name for it")
    return pickles[0]


def _check_pickle(contents: bytes) -> None:
    """Raises if a pickle is too long, or names anything that no run writes."""
    if not contents:
        raise ValueError(f"its pickle must hold 1 to {PICKLE} bytes")
    for step, (instruction, argument, _) in enumerate(pickletools.genops(contents)):
        if step > STEPS:
            raise ValueError(f"its pickle has more than {STEPS} instructions")
        if instruction.name in HIDES or (instruction.name == "GLOBAL" and argument not in NAMED):
            raise UnpicklingError(f"it names {argument or instruction.name}, which no checkpoint of a run needs")


def _check_plain(content: Any, size: int) -> None:
    """Raises if a checkpoint holds anything but plain values and dense tensors, or more than its file of `size` bytes.

    Whatever is shared counts as often as it is met, because whoever copies the content has it as often.
    """
    waiting, seen, characters, numbers = [(content, 0)], 0, 0, 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if seen > STEPS or depth > DEPTH:
            raise ValueError("its containers are nested or shared beyond what any run writes")
        if isinstance(value, Tensor):
            _check_tensor(value)
            numbers += value.numel() * value.element_size()
            if numbers > SHARED * size:
                raise ValueError(f"its tensors take more than {SHARED} times its size, so they share their numbers")
        elif type(value) is str:
            characters += len(value)
            if characters > PICKLE:
                raise ValueError(f"its texts have more than {PICKLE} characters")
        elif type(value) in (dict, OrderedDict):
            if strange := [key for key in value if type(key) not in (str, int)]:
                raise ValueError(f"it has a key of the type {type(strange[0]).__name__}")
            waiting += [(inner, depth + 1) for inner in (*value, *value.values())]
        elif type(value) in CONTAINERS:
            waiting += [(inner, depth + 1) for inner in value]
        elif type(value) not in PLAIN:
            raise ValueError(f"it holds a {type(value).__name__}")
        elif type(value) is int and abs(value) >= LARGEST:
            raise ValueError("it holds a whole number of more than 64 bits")


def _check_tensor(tensor: Tensor) -> None:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta":
        raise ValueError("it holds a tensor that is not dense")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(f"it holds a tensor of shape {tuple(tensor.shape)}, but not that many numbers")


def _moved(value: Any, before: set[str], now: str) -> Any:
    """Plain containers with one folder's path in place of another's, in keys too."""
    if isinstance(value, dict):
        return {_moved(key, before, now): _moved(inner, before, now) for key, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner, before, now) for inner in value]
    for folder in before:
        if isinstance(value, str) and (value == folder or value.startswith(folder + os.sep)):
            return now + value[len(folder) :]
    return value
