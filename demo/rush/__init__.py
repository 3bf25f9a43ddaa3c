"""A sale opens and people come: who buys, who leaves, and why, on each backend."""
