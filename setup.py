"""Makes what PyPI shows; all else is in pyproject.toml."""

import re
from pathlib import Path

from setuptools import setup

#: Where the repository is, once it has an address: "https://.../pooled_db".
REPOSITORY = ""
#: Where its files are shown, below that.
FILES = "/blob/v{version}/"

#: Where they can be had as they are.
RAW = "/raw/v{version}/"

IMAGE_WITHIN = re.compile(r"!\[([^\]]*)\]\((?!https?:)([^)]+)\)")
LINK_WITHIN = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)([^)]+)\)")


def read_version() -> str:
    source = Path("pooled_db/__init__.py").read_text("utf-8")
    (version,) = re.findall(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    return str(version)


def with_links_out(text: str, repository: str, version: str) -> str:
    """Let links into the repository lead there, or be plain text without an address."""
    files = repository + FILES.format(version=version)

    def replacement(link: re.Match[str]) -> str:
        text, target = link.groups()
        if not repository:
            return text
        return f"[{text}]({repository if target[0] == '#' else files}{target})"

    def picture(image: re.Match[str]) -> str:
        text, target = image.groups()
        if not repository:
            return ""
        return f"![{text}]({repository}{RAW.format(version=version)}{target})"

    return LINK_WITHIN.sub(replacement, IMAGE_WITHIN.sub(picture, text))


def newest_changes(changelog: str) -> str:
    """What is not released, and what was last."""
    _, *parts = re.split(r"^(?=## \[)", changelog, flags=re.MULTILINE)
    return "".join(["# Changes\n\n", *parts[:2]])


def project_urls(repository: str) -> dict[str, str]:
    if not repository:
        return {}
    return {
        "Documentation": f"{repository}/tree/main/docs",
        "Changelog": f"{repository}/blob/main/CHANGELOG.md",
        "Source": repository,
        "Issues": f"{repository}/issues",
    }


if __name__ == "__main__":
    description = "\n".join(
        (
            Path("README.md").read_text("utf-8"),
            newest_changes(Path("CHANGELOG.md").read_text("utf-8")),
        )
    )
    setup(
        long_description=with_links_out(description, REPOSITORY, read_version()),
        long_description_content_type="text/markdown",
        project_urls=project_urls(REPOSITORY),
    )
