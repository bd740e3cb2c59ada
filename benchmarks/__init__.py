"""How fast vaelab is beside other loops over the same mathematics: python -m benchmarks --help."""
