"""Makes of README.md what PyPI shows; all else is in pyproject.toml."""

import re
from pathlib import Path

from setuptools import setup

# On PyPI a link to another file of the repository, or to a heading, leads nowhere.
LINK_WITHIN = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]+\)")

setup(
    long_description=LINK_WITHIN.sub(r"\1", Path("README.md").read_text("utf-8")),
    long_description_content_type="text/markdown",
)
