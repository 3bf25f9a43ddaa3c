"""The app of the test site, which can ask its database as soon as it is ready."""

import os
import warnings

from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "tests.site"

    def ready(self) -> None:
        from . import threads, views

        threads.connect_receivers()
        if os.environ.get("TEST_ASK_WHEN_READY"):
            with warnings.catch_warnings():
                # Django warns of it from 5.0 on, and does it.
                warnings.simplefilter("ignore", RuntimeWarning)
                views.ask(threads.SELECT)
