"""The command line: `vaelab`, and what trains. The only package that imports Hydra."""
