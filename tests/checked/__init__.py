"""An app whose models make Django's checks ask for all that a server can do."""
