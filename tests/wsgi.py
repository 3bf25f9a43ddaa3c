"""The test site for gunicorn, with the door if TEST_DOOR is set."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
if os.environ.get("TEST_DOOR"):
    from pooled_db.wsgi import get_wsgi_application
else:
    from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
