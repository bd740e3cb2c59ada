"""Readers of rows, one file per kind; each gives a `Source`. `vaelab.data.open_file` chooses among them."""
