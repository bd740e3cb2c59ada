"""Readers of rows, one file per kind; each gives a `Source`. `vaelab.data.files` chooses among them."""
