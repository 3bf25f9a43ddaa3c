"""Django's own test suite, on Django's MySQL backend and on pooled_db's.

No test may pass with the one and not with the other.
"""
