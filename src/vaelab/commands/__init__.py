"""The verbs of the command line that use a trained run: `vaelab VERB RUN`."""
