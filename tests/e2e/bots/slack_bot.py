"""A Slack bot on Bolt, as its documentation builds one. It never calls Slack: tokens come from `authorize`."""

import sys

from flask import Flask, request
from serving import say, serve
from slack_bolt import App
from slack_bolt.adapter.flask import SlackRequestHandler
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient

track, secret = sys.argv[1], sys.argv[2]
bolt = App(
    signing_secret=secret,
    authorize=lambda enterprise_id, team_id: AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_token="xoxb-not-used", bot_id="B1", bot_user_id="U0"),
    token_verification_enabled=False,
    process_before_response=True,
    client=WebClient(base_url="http://127.0.0.1:1/"),
)


@bolt.event("app_mention")
@bolt.event("message")
@bolt.event("reaction_added")
def on_event(event, context):
    say(kind=event["type"], team=context.team_id)


@bolt.command("/canary")
def on_command(ack, command, context):
    say(kind="command", team=context.team_id)
    ack(f"{track} heard {command['text']}")


@bolt.action("approve")
def on_action(ack, context):
    say(kind="action", team=context.team_id)
    ack()


@bolt.view("form")
def on_view(ack, context):
    say(kind="view", team=context.team_id)
    ack()


flask = Flask("slack")
handler = SlackRequestHandler(bolt)


@flask.post("/slack/events")
def events():
    return handler.handle(request)


serve(flask, track)
