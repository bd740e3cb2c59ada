"""Completes `vaelab` in a shell. `shtab --shell=bash vaelab.app.completion.parser` prints the script to load.

Only this module needs shtab, and only that command imports it.
"""

import shtab

from vaelab.app import arguments

FOLDERS = ("RUN", "DIR", "FOLDER")  # metavars of arguments that name folders
FILES = ("DATA", "A", "B", "FILE")  # and files, or folders of images
TRAIN = {  # Hydra knows the keys and the options; it expects a line without the word `train`
    "bash": "_vaelab_train",
    "preamble": {
        "bash": r"""
_vaelab_train() {
  local line="${COMP_LINE:0:COMP_POINT}"
  local rest="${line#*[[:space:]]train}"
  [ "$rest" = "$line" ] && return
  local typed="${rest##*[[:space:]]}"
  local found
  for found in $(COMP_LINE="vaelab$rest" COMP_POINT=$((7 + ${#rest})) vaelab train -sc query=bash 2>/dev/null); do
    printf '%s\n' "${found#"${typed%"$1"}"}"  # bash counts the part before an = as a word of its own
  done
}
"""
    },
}


def parser() -> arguments.Parser:
    """The parser of `vaelab`, with what each of its arguments can be completed to."""
    kinds = dict.fromkeys(FOLDERS, shtab.DIRECTORY) | dict.fromkeys(FILES, shtab.FILE)
    arguments.Parser.completions = {**kinds, arguments.OVERRIDE: TRAIN}
    try:
        return arguments.parser()
    finally:
        arguments.Parser.completions = {}
