"""What the server, the network and the clients do to a site that goes on."""
