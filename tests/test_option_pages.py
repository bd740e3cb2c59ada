"""Every option of a model has a page in docs/options, whose table holds exactly the option's keys."""

import re

import pytest
import yaml
from PIL import Image

from helpers.runner import ROOT

GROUPS = ("model", "posterior", "prior", "network", "objective")
PARTS = ["What it is good for", "Limits", "Equation", "Keys", "Try it"]
MOST_BYTES = 60_000
OPTIONS = sorted(path for group in GROUPS for path in (ROOT / "conf" / group).glob("*.yaml"))
UNSAID = ("event_shape", "encoder", "decoder", "defaults")  # keys that the latent size sets, or that hold constructors


def page_of(option):
    return ROOT / "docs" / "options" / option.parent.name / f"{option.stem}.md"


def keys_of(option):
    """The keys on a YAML page that a user may set, with their defaults, written in full."""
    page = yaml.safe_load(option.read_text()) or {}
    for base in page.get("defaults", []):
        if base != "_self_":
            page = (yaml.safe_load((option.parent / f"{base}.yaml").read_text()) or {}) | page
    group = option.parent.name
    return dict(_flat(page, group))


def _flat(node, prefix):
    for key, value in node.items():
        if key.startswith("_") or key in UNSAID:
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}.{key}")
        else:
            yield f"{prefix}.{key}", value


@pytest.mark.parametrize("option", OPTIONS, ids=[f"{path.parent.name}-{path.stem}" for path in OPTIONS])
def test_an_option_has_a_page_that_is_true_to_its_keys(option):
    text = page_of(option).read_text()
    assert text.startswith(f"# `{option.parent.name}={option.stem}`\n")
    assert re.findall(r"^## (.+)$", text, re.M) == PARTS
    rows = dict(re.findall(r"^\| `([\w.]+)` \| `([^`]*)` \|", text, re.M))
    keys = keys_of(option)
    assert rows.keys() == keys.keys()
    for key, value in keys.items():
        assert yaml.safe_load(rows[key]) == value, key
    assert ("It has no keys of its own." in text) == (not keys)
    assert f"{option.parent.name}={option.stem}" in text.split("## Try it")[1]
    (picture,) = re.findall(r"!\[.{20,}\]\((.+)\)", text)
    path = (page_of(option).parent / picture).resolve()
    assert path.name == f"{option.parent.name}_{option.stem}.png"
    assert path.stat().st_size <= MOST_BYTES
    assert Image.open(path).size[0] >= 400


def test_every_page_belongs_to_an_option_and_is_in_the_index():
    pages = {path for group in GROUPS for path in (ROOT / "docs" / "options" / group).glob("*.md")}
    assert pages == {page_of(option) for option in OPTIONS}
    rows = re.findall(
        r"^\| \[`(\w+)`\]\((\w+)/(\w+)\.md\) \| .+ \|$", (ROOT / "docs" / "options" / "README.md").read_text(), re.M
    )
    assert all(shown == name for shown, _, name in rows)
    assert sorted((group, name) for _, group, name in rows) == sorted((path.parent.name, path.stem) for path in OPTIONS)


def test_the_tables_of_decisions_name_every_option():
    text = (ROOT / "docs" / "choosing.md").read_text()
    linked = set(re.findall(r"\]\(options/(\w+/\w+)\.md\)", text))
    assert linked == {f"{option.parent.name}/{option.stem}" for option in OPTIONS}
