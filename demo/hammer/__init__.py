"""Clients that ask again the moment they have their answer, on each backend."""
