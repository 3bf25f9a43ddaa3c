"""The test site for uvicorn, with the door if TEST_DOOR is set."""

import os
from importlib import import_module

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
package = "pooled_db" if os.environ.get("TEST_DOOR") else "django.core"
application = import_module(f"{package}.asgi").get_asgi_application()
