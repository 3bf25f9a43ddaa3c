"""What a request pays for its connection, beside the peers."""
