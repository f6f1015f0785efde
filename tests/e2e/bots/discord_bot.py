"""A Discord bot on an interactions endpoint, with the signature check of discord-interactions."""

import sys

from discord_interactions import InteractionResponseType, InteractionType, verify_key_decorator
from flask import Flask, jsonify, request
from serving import say, serve

track, public_key = sys.argv[1], sys.argv[2]
flask = Flask("discord")


@flask.post("/interactions")
@verify_key_decorator(public_key)
def interactions():
    interaction = request.json
    say(kind=interaction["type"], guild=interaction.get("guild_id"))
    if interaction["type"] == InteractionType.APPLICATION_COMMAND:
        return jsonify(type=InteractionResponseType.CHANNEL_MESSAGE_WITH_SOURCE, data={"content": f"hello from {track}"})
    return jsonify(type=InteractionResponseType.DEFERRED_UPDATE_MESSAGE)


serve(flask, track)
