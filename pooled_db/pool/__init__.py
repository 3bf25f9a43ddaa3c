"""Who gets a connection, when, and in what state: nothing here knows of requests."""
