"""Answer a shell while a command line is being typed, from a table and local files."""
