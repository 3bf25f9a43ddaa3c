"""Tests that start no database server."""
