"""Puts small mistakes into the library: does a test notice? `make mutants`."""
