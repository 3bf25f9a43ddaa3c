"""Settings of a site on a cluster behind HAProxy: what differs from one server."""

DATABASES = {
    "default": {
        "ENGINE": "pooled_db.backends.mysql",
        "NAME": "shop",
        "USER": "shop",
        "PASSWORD": "",
        # HAProxy's address to write to.
        "HOST": "10.0.0.10",
        "PORT": 3306,
        "OPTIONS": {
            "pool": {"pool_size": 10, "timeout": 2},
            # Below HAProxy's `timeout check`: nobody waits for a node for longer than
            # the proxy does.
            "connect_timeout": 1,
            # Longer than the slowest query, and than the cluster needs to leave a node
            # that is silent: Galera's evs.suspect_timeout is 5 s by default.
            "read_timeout": 6,
            "write_timeout": 6,
        },
    },
}

# HAProxy's address to read from: another alias with a pool of its own. What is read
# here may be some milliseconds old.
DATABASES["readers"] = {**DATABASES["default"], "PORT": 3307}

# Pages that use only the readers do not queue for a connection to write with.
POOLED_DB = {"EXEMPT": [r"^healthz$"]}
