from __future__ import annotations

import json
from http import HTTPStatus

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods

from board.notes.models import Note

_NEWEST = 50


def _as_dict(note: Note) -> dict[str, object]:
    return {"id": note.pk, "text": note.text, "words": note.words}


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    return render(request, "notes.html", {"notes": Note.objects.all()[:_NEWEST]})


@csrf_exempt  # no cookie gives anybody a right here, so there is nothing to forge
@require_http_methods(["GET", "POST"])
def notes(request: HttpRequest) -> JsonResponse:
    if request.method == "GET":
        return JsonResponse({"notes": [_as_dict(note) for note in Note.objects.all()[:_NEWEST]]})
    try:
        note = Note(text=json.loads(request.body)["text"].strip())
        note.full_clean()
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
        return JsonResponse({"detail": 'expected {"text": "1 to 280 characters"}'}, status=HTTPStatus.BAD_REQUEST)
    note.save()
    return JsonResponse(_as_dict(note), status=HTTPStatus.CREATED)


@require_GET
def health(_: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "alive"})


@require_GET
def ready(_: HttpRequest) -> JsonResponse:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return JsonResponse({"ready": False, "broken": ["database"]}, status=HTTPStatus.SERVICE_UNAVAILABLE)
    return JsonResponse({"ready": True, "broken": []})


@require_GET
def version(_: HttpRequest) -> JsonResponse:
    return JsonResponse({"version": settings.APP_VERSION, "release": settings.APP_RELEASE})
