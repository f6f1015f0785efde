"""Tornado's WebSocket behind serin, and Tornado's client before it: the handshake is split by the workspace in its path, then all frames
pass, compressed, in parts and pings among them; a shutdown of serin says goodbye to both sides."""

import asyncio

import pytest
from conftest import COUNT, TRACKS, one_track_each, python_bot, wait_until
from tornado.websocket import websocket_connect

WORKSPACES = [f"T{number}" for number in range(min(COUNT, 40))]


@pytest.fixture(scope="module")
def live(start):
    return start("live", python_bot("websocket_bot.py"), workspace="path:1")


def run(test):
    return asyncio.run(asyncio.wait_for(test, 60))


async def connected(live, workspace, **how):
    return await websocket_connect(f"ws://127.0.0.1:{live.serin.port}/live/{workspace}", **how)


async def track_of(socket):
    await socket.write_message("hello")
    track, _, message = (await socket.read_message()).partition(": ")
    assert message == "hello"
    return track


def test_each_workspace_stays_on_one_track_and_all_are_open_at_once(live):
    async def test():
        sockets = [(workspace, await connected(live, workspace)) for workspace in WORKSPACES * 2]
        assert live.serin.metric("serin_upgraded_connections") == len(sockets)
        tracks = {workspace: {} for workspace in WORKSPACES}
        for workspace, socket in sockets:
            tracks[workspace][await track_of(socket)] = 1
            socket.close(1000)
            assert await socket.read_message() is None
        return tracks

    one_track_each(run(test()))
    wait_until("no connection is open", lambda: live.serin.metric("serin_upgraded_connections") == 0)
    assert live.serin.metric("serin_requests_total", outcome="ok") == live.serin.metric("serin_requests_total") == 2 * len(WORKSPACES)
    closed = [line for lines in live.seen().values() for line in lines if "closed" in line]
    assert len(closed) == 2 * len(WORKSPACES) and {line["code"] for line in closed} == {1000}


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
def test_messages_pass_unchanged(live, compressed):
    async def test():
        socket = await connected(live, "T1", compression_options={} if compressed else None, subprotocols=["chat"])
        assert socket.selected_subprotocol == "chat"
        for size in (0, 1, 125, 126, 65_535, 65_536, 1_000_000):
            message = bytes(n * 31 % 251 for n in range(size))
            await socket.write_message(message, binary=True)
            assert await socket.read_message() == message
        # The bot's pings, which the client answers, come every half second.
        await asyncio.sleep(1.2)
        assert await track_of(socket) in TRACKS
        socket.close(4001, "enough")
        assert await socket.read_message() is None

    run(test())
    wait_until("the bot has seen the code", lambda: any(line.get("code") == 4001 for lines in live.seen().values() for line in lines))


def test_a_shutdown_says_goodbye_to_client_and_bot(live):
    async def test():
        socket = await connected(live, "T2")
        await track_of(socket)
        live.seen()
        live.serin.process.terminate()
        assert await socket.read_message() is None
        return socket.close_code

    assert run(test()) == 1001
    assert live.serin.stop() == 0
    wait_until("the bot has seen the code", lambda: any(line.get("code") == 1001 for lines in live.seen().values() for line in lines))
    live.serin.start()
