"""A bank under load while everything fails by chance, and an audit at the end."""
