"""The test site for uvicorn, with the door if TEST_DOOR is set."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
if os.environ.get("TEST_DOOR"):
    from pooled_db.asgi import get_asgi_application
else:
    from django.core.asgi import get_asgi_application

application = get_asgi_application()
