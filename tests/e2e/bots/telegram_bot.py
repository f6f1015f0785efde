"""A Telegram bot on python-telegram-bot's own webhook server. Telegram itself is played by `Offline`."""

import json
import logging
import socket
import sys

from serving import say
from telegram import Update
from telegram.ext import Application, TypeHandler
from telegram.request import BaseRequest

track, secret = sys.argv[1], sys.argv[2]
logging.basicConfig(level=logging.WARNING)


class Offline(BaseRequest):
    """Answers what a bot asks of Telegram at its start."""

    read_timeout = 1

    async def initialize(self):
        pass

    async def shutdown(self):
        pass

    async def do_request(self, url, method, request_data=None, **_):
        result = {"id": 1, "is_bot": True, "first_name": "serin", "username": "serin_bot"} if url.endswith("/getMe") else True
        return 200, json.dumps({"ok": True, "result": result}).encode()


async def saw(update: Update, _):
    say(update=update.update_id, chat=update.effective_chat.id if update.effective_chat else None)


async def ready(application):
    say(port=port)


async def trouble(update, context):
    say(error=str(context.error))


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
application = Application.builder().token("123:ABC").request(Offline()).get_updates_request(Offline()).post_init(ready).build()
application.add_handler(TypeHandler(Update, saw))
application.add_error_handler(trouble)
application.run_webhook("127.0.0.1", port, "telegram", webhook_url="https://bot.example/telegram", secret_token=secret)
