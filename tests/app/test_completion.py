"""Shell completion: what bash offers after the script of shtab is loaded."""

import shutil
import subprocess

import pytest

from helpers.runner import VERBS

shtab = pytest.importorskip("shtab")


from vaelab.app.completion import parser  # noqa: E402


def offered(line, folder):
    """What bash completes the last word of a line to."""
    words = line.split(" ")
    script = f"""
{shtab.complete(parser(), shell="bash", root_prefix="vaelab")}
COMP_LINE={line!r}; COMP_POINT={len(line)}; COMP_CWORD={len(words) - 1}; COMP_WORDS=({" ".join(map(repr, words))})
$(complete -p vaelab | sed 's/.*-F \\([^ ]*\\).*/\\1/'); printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "--norc"], input=script, capture_output=True, text=True, cwd=folder, timeout=30)
    return {word.rstrip("/ ") for word in done.stdout.split("\n")} - {""}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_verbs_options_choices_and_paths(tmp_path):
    (tmp_path / "outputs").mkdir()
    (tmp_path / "out.csv").write_text("")
    assert {"score", "sample"} == offered("vaelab s", tmp_path)
    assert {"linear", "spherical"} == offered("vaelab interpolate --path ", tmp_path)
    assert "--sort" in offered("vaelab list --so", tmp_path)
    assert {"outputs"} == offered("vaelab list o", tmp_path)
    assert {"outputs", "out.csv"} == offered("vaelab score outputs o", tmp_path)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_verb_is_in_the_script_of_every_shell(shell):
    script = shtab.complete(parser(), shell=shell, root_prefix="vaelab")
    assert all(verb in script for verb in VERBS)
