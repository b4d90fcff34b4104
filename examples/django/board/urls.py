from __future__ import annotations

from django.urls import path

from board.notes import views

urlpatterns = [
    path("", views.page),
    path("api/notes", views.notes),
    path("health", views.health),
    path("ready", views.ready),
    path("version", views.version),
]
