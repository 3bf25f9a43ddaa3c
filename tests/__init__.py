"""Tests; as a project that uses PyMySQL does it, with TEST_DRIVER=pymysql."""

import os

if os.environ.get("TEST_DRIVER") == "pymysql":
    import pymysql

    pymysql.install_as_MySQLdb()
