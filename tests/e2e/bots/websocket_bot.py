"""A bot that talks to its workspaces over WebSocket, with Tornado. It answers each message with its track and the message."""

import asyncio
import sys

from serving import say
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler

track = sys.argv[1]


class Live(WebSocketHandler):
    def select_subprotocol(self, subprotocols):
        return "chat" if "chat" in subprotocols else None

    def get_compression_options(self):
        return {}  # Takes permessage-deflate.

    def open(self, workspace):
        self.workspace = workspace
        say(opened=workspace)

    async def on_message(self, message):
        answer = message if isinstance(message, bytes) else f"{track}: {message}"
        await self.write_message(answer, binary=isinstance(message, bytes))

    def on_close(self):
        say(closed=self.workspace, code=self.close_code)


async def main():
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(Application([(r"/live/(\w+)", Live)], websocket_ping_interval=0.5)).add_sockets(sockets)
    say(port=sockets[0].getsockname()[1])
    await asyncio.Event().wait()


asyncio.run(main())
