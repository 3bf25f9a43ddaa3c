import os
from importlib import import_module

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.site.settings")
package = "pooled_db" if os.environ.get("BENCH_DOOR") else "django.core"
application = import_module(f"{package}.asgi").get_asgi_application()
