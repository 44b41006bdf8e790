"""The command line: the only part that prints, and that turns errors into exit codes."""
