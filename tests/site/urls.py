from django.urls import path

from . import views

urlpatterns = [
    path("nothing", views.nothing),
    path("exempt/state", views.state),
    path("exempt/nothing", views.nothing),
    path("exempt/queries", views.queries),
    path("queries", views.queries),
    path("queries-async", views.queries_async),
    path("sleep", views.sleep),
    path("sleep-async", views.sleep_async),
    path("item-async", views.item_async),
    path("fail-after-query", views.fail_after_query),
    path("leave-atomic", views.leave_atomic),
    path("autocommit-off", views.autocommit_off),
    path("close", views.close),
    path("close-all", views.close_all),
    path("release", views.release),
    path("release-async", views.release_async),
    path("release-in-atomic", views.release_in_atomic),
    path("stream", views.stream),
    path("stream-async", views.stream_async),
    path("stream-unused", views.stream_unused),
    path("file", views.file),
    path("in-template", views.in_template),
    path("kill-self", views.kill_self),
    path("session", views.session),
    path("wrong-sql", views.wrong_sql),
    path("database-name", views.database_name),
]
