"""Suites of packages that others have built on Django, on either backend."""
