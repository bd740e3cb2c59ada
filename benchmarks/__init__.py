"""How fast vaelab is, compared with other loops over the same mathematics: python -m benchmarks --help."""
