"""The command line: parse, one call into core, print."""
