"""Tests on a database server."""
