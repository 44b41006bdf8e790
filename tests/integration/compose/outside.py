"""What lies beyond the host of the tests: a page for whoever gets out, and a server of no names.

aardvark-dns 1.4 says nothing at all where the server above it does not answer, and a question for
an engine that does not run yet would hold up the gateway.
"""

import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, UDPServer
from threading import Thread

_HEADER = 12
_TYPE_AND_CLASS = 4


class NoSuchName(BaseRequestHandler):
    def handle(self) -> None:
        asked, server = self.request
        question = asked[_HEADER : asked.index(b"\0", _HEADER) + 1 + _TYPE_AND_CLASS]
        # A response (8), recursion done as asked (1, 8), name error (3); one question, no records.
        header = asked[:2] + b"\x81\x83" + b"\0\1" + bytes(6)
        server.sendto(header + question, self.client_address)


if __name__ == "__main__":
    address = sys.argv[1]
    Thread(target=UDPServer((address, 53), NoSuchName).serve_forever).start()
    ThreadingHTTPServer((address, 80), SimpleHTTPRequestHandler).serve_forever()
