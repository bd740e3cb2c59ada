"""Readers of rows, one module per kind of file. Each returns a `Source`, and `vaelab.data.open_file` chooses one."""
