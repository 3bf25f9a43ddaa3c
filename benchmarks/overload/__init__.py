"""More requests than the database can serve, beside the peers."""
