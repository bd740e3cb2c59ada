"""Finds out which reports have scores that can be compared."""

from collections.abc import Mapping, Sequence
from typing import Any

MUST_AGREE = ("measure", "per", "data", "split", "binarisation", "dequantisation", "condition", "columns", "checksum")
ABSENT = {"condition": "none", "columns": "none"}  # the value to assume if a report lacks a key
NAMED = {"checksum": "the examples of the split, by their checksum"}


def incomparable(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """The reasons why the scores of these reports cannot be compared; empty if they can.

    `checksum` is the checksum of the examples themselves. It counts only if every report has one.
    """
    found = {key: [str(report.get(key, ABSENT.get(key))) for report in reports] for key in MUST_AGREE}
    values = {key: list(dict.fromkeys(each)) for key, each in found.items()}
    if not all("checksum" in report for report in reports):
        del values["checksum"]
    return [f"{NAMED.get(key, key)}: {' | '.join(found)}" for key, found in values.items() if len(found) > 1]
