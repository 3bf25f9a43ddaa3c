"""The test suite that belongs to the installed Django."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django

CACHE = Path(__file__).parents[2] / ".django"


def tests_folder() -> Path:
    """Return the folder of runtests.py; the first call downloads Django's source."""
    folder = CACHE / f"tests-{django.__version__}"
    if not folder.is_dir():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            unpacked = _unpack_tests(_download(Path(scratch)))
            unpacked.rename(folder)
    return folder


def _download(folder: Path) -> Path:
    wanted = f"Django=={django.__version__}"
    print(f"Downloading the source of {wanted}", flush=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-binary=Django", "--no-deps", f"--dest={folder}"]
    subprocess.run([*pip, "download", *options, wanted], check=True)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def _unpack_tests(archive: Path) -> Path:
    with tarfile.open(archive) as source:
        source.extraction_filter = tarfile.data_filter
        top = source.getnames()[0].split("/")[0]
        tests = [file for file in source if file.name.startswith(f"{top}/tests/")]
        source.extractall(archive.parent, tests)
    return archive.parent / top / "tests"
