"""The command line: `vaelab`, and what trains."""
