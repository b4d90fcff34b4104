"""The smallest application: answers with a text of its environment and the release that it is."""

import http.server
import os
import signal
import sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{os.environ['SHOP_TEXT']} {os.environ['APP_RELEASE']} {len(os.environ['SHOP_KEY'])}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("", 8000), Answer).serve_forever()
