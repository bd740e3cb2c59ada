"""What `vaelab VERB RUN` does."""
