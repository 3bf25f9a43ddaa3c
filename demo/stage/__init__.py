"""`make site`: the shop beside its pool, and buttons that make trouble."""
