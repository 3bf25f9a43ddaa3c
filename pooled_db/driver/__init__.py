"""The driver's class of connections: what Django imports as MySQLdb."""

from __future__ import annotations

from typing import TYPE_CHECKING

import MySQLdb

if TYPE_CHECKING or MySQLdb.__name__ != "pymysql":
    from MySQLdb.connections import Connection as DriverConnection
else:
    # pymysql.install_as_MySQLdb() has been called.
    from .pymysql import Connection as DriverConnection

__all__ = ["DriverConnection"]
