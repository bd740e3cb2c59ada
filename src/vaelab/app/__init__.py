"""The command line: the `vaelab` command, and the program that trains. Only this package imports Hydra."""
