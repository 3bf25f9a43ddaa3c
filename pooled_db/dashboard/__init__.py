"""A read-only page that shows the pools of all processes of this host, as they are."""
