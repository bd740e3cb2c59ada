"""Writes checkpoints whole, reads them as data, and refuses those that are broken or larger inside than outside."""

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
NAMED = {  # all names that a checkpoint's pickle may use; torch's own list is longer and allows `bytearray(10**12)`
    "collections OrderedDict",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor_v2",
    *(f"torch {name}Storage" for name in STORAGES),
}
PLAIN = (str, int, float, bool, type(None))
CONTAINERS = (dict, OrderedDict, list, tuple)
HIDES = {"EXT1", "EXT2", "EXT4", "INST", "OBJ", "STACK_GLOBAL"}  # instructions whose names cannot be read in advance
DIRECTORY = 1 << 22  # the most bytes in the archive's list of its parts
PICKLE = 1 << 23  # the most bytes in the pickle, which holds the structure of the checkpoint
STEPS = 200_000  # the most instructions of the pickle, and values in it; a shared value counts once for each use
DEPTH = 60  # the most levels of nested containers
ZIP = b"PK\3\4"  # the first bytes of an archive
SPARSE = 1 << 28  # a file with more bytes must really take this space on the disk
LARGEST = 2**64
SHARED = 2  # how often the numbers in a file may be used: tied weights have two names


def write_checkpoint(path: Path, content: dict[str, Any], within: Path | None = None) -> None:
    """Writes a checkpoint whole or not at all. `within` is as in `vaelab.whole_files.write_whole`.

    Raises:
        OSError: it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getbuffer(), within)


def read_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Reads a checkpoint: tensors and plain containers, nothing that runs (`weights_only=True`).

    If the run's folder has been moved, the paths inside are updated.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a checksum in the file is wrong, or it is not a checkpoint.
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
    except Exception as error:  # zipfile and torch raise many kinds
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
    """Raises an error if an archive is broken, or if reading it would take more memory than its size on the disk."""
    found = os.fstat(file.fileno())
    if found.st_size > SPARSE and found.st_blocks * 512 < found.st_size // 2:
        raise ValueError("most of it is an empty hole on the disk, which no run leaves")
    if file.read(len(ZIP)) != ZIP:
        raise ValueError("it is not an archive")  # torch would read it as a plain pickle
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # opening the archive reads the whole list
    if end and end[5] > DIRECTORY:
        raise ValueError("it has more parts than any checkpoint has")
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        if any(record.file_size > record.compress_size for record in records):
            raise ValueError("it holds more than its size, and no checkpoint is compressed")
        if sum(record.file_size for record in records) > found.st_size:
            raise ValueError("its parts hold more than its size, so they overlap")
        if broken := archive.testzip():  # torch.load checks no checksum
            raise ValueError(f"the checksum of {broken} is wrong")
        if end and archive.start_dir != end[6]:
            raise ValueError("its list of parts is in the wrong place")
        record = _pickle_in(records)
        _check_pickle(archive.read(record) if record.file_size <= PICKLE else b"")
    file.seek(0)


def _pickle_in(records: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    """The only pickle of an archive. torch ignores case, so names that differ only in case are refused."""
    names = [record.filename.lower() for record in records]
    if len(set(names)) < len(names):
        raise ValueError("it has two parts with the same name")
    if any("/code/" in f"/{name}" for name in names):
        raise ValueError("it holds a program, which no checkpoint of a run does")
    pickles = [record for record, name in zip(records, names, strict=True) if name.endswith(".pkl")]
    if len(pickles) != 1 or not pickles[0].filename.endswith("/data.pkl"):
        raise ValueError(f"it must have one pickle, called data.pkl, but has {len(pickles)}, or one with another name")
    return pickles[0]


def _check_pickle(contents: bytes) -> None:
    """Raises an error if a pickle is too long, or contains a name that no run writes."""
    if not contents:
        raise ValueError(f"its pickle must hold 1 to {PICKLE} bytes")
    for step, (instruction, argument, _) in enumerate(pickletools.genops(contents)):
        if step > STEPS:
            raise ValueError(f"its pickle has more than {STEPS} instructions")
        if instruction.name in HIDES or (instruction.name == "GLOBAL" and argument not in NAMED):
            raise UnpicklingError(f"it names {argument or instruction.name}, which no checkpoint of a run needs")


def _check_plain(content: Any, size: int) -> None:
    """Raises an error for anything but plain values and dense tensors, or for more than fits in a file of `size` bytes.

    A shared value counts once for each use, because a copy of the content would hold it that often.
    """
    waiting, seen, characters, numbers = [(content, 0)], 0, 0, 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if seen > STEPS or depth > DEPTH:
            raise ValueError("its containers are nested or shared more than in any run")
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
    """Plain containers with the path of one folder replaced by another, in keys too."""
    if isinstance(value, dict):
        return {_moved(key, before, now): _moved(inner, before, now) for key, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner, before, now) for inner in value]
    for folder in before:
        if isinstance(value, str) and (value == folder or value.startswith(folder + os.sep)):
            return now + value[len(folder) :]
    return value
