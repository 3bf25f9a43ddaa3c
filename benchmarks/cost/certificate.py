"""A certificate of the private server's own, made for one run."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.harness.processes import HOST


@dataclass(frozen=True, slots=True)
class Certificate:
    """Signed by itself, so it is its own authority."""

    path: Path
    key: Path

    @property
    def server_options(self) -> tuple[str, ...]:
        return f"--ssl-cert={self.path}", f"--ssl-key={self.key}"

    @property
    def client_options(self) -> dict[str, dict[str, str]]:
        """For Django's OPTIONS: TLS is demanded, and the certificate verified."""
        return {"ssl": {"ca": str(self.path)}}


@contextlib.contextmanager
def certificate() -> Iterator[Certificate]:
    with tempfile.TemporaryDirectory(prefix="pooled_db-tls-") as directory:
        made = Certificate(Path(directory, "cert.pem"), Path(directory, "key.pem"))
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec"),
                *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
                *("-subj", f"/CN={HOST}", "-addext", f"subjectAltName=IP:{HOST}"),
                *("-keyout", str(made.key), "-out", str(made.path)),
            ],
            check=True,
            capture_output=True,
        )
        yield made
