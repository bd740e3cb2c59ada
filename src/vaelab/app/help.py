"""Makes the page that `--help` shows: `hydra.help` of the config, with the groups and their options."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from string import Template

from omegaconf import OmegaConf, open_dict

from vaelab.app.compose import CONFIG, compose_with_hydra, conf_folder


def help_page(arguments: Sequence[str]) -> str:
    """The page that `--help` prints. The other arguments decide which values it shows.

    Hydra itself would take a second, because it also lists the options of its own groups.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--config-name", "-cn", default=CONFIG)
    known, others = parser.parse_known_args(arguments)
    overrides = [argument for argument in others if not argument.startswith("-")]
    cfg = compose_with_hydra(overrides, known.config_dir, known.config_name)
    template = Template(cfg.hydra.help.template)
    with open_dict(cfg):
        del cfg.hydra
    folders = [conf_folder(), *([Path(known.config_dir)] if known.config_dir else [])]
    return template.substitute(APP_CONFIG_GROUPS=_groups(folders), CONFIG=OmegaConf.to_yaml(cfg))


def _groups(folders: Sequence[Path]) -> str:
    """Lists the groups in folders of config files, a line each."""
    options: dict[str, set[str]] = {}
    for file in (file for folder in folders for file in folder.glob("*/*.yaml")):
        options.setdefault(file.parent.name, set()).add(file.stem)
    return "".join(f"{group}: {', '.join(sorted(names))}\n" for group, names in sorted(options.items()))
