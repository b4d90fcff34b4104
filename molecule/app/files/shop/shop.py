"""The smallest application: answers with a text of its environment and the release that it is, and with its files."""

import http.server
import os
import signal
import sys
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
# What outlives the release, and who was here.
NOTES = Path("/app/media/notes")


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body, status = f"{os.environ['SHOP_TEXT']} {os.environ['APP_RELEASE']} {len(os.environ['SHOP_KEY'])}".encode(), 200
        if self.path == "/notes":
            body = NOTES.read_bytes()
        elif self.path.startswith("/static/"):
            file = Path("/app") / self.path.lstrip("/")
            body, status = (file.read_bytes(), 200) if file.is_file() else (b"", 404)
        elif self.path == "/page" and os.environ["SHOP_TEXT"] == "broken":
            status = 500
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


with NOTES.open("a") as notes:
    notes.write(f"{os.environ['APP_RELEASE']}\n")
http.server.ThreadingHTTPServer(("", 8000), Answer).serve_forever()
