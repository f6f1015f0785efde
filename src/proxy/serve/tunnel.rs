//! A connection that has changed to another protocol: bytes pass in both directions, unchanged, until both sides have ended or
//! nothing passes any more. When serin drains, it says goodbye to both sides.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;

use crate::http1::websocket::{Frames, Side, going_away};
use crate::http1::write::Framing;
use crate::proxy::client::Connection;
use crate::proxy::exchange::Tunnel;
use crate::proxy::wire::clock::Wait;
use crate::proxy::wire::{Outgoing, Wire};
use crate::proxy::worker::{Stage, Worker};

/// What is read at once of one side.
const READ_ROOM: usize = 16 * 1024;
/// How long the sides have to end after serin said goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// One direction.
#[derive(Debug)]
struct Way {
    state: State,
    message: Outgoing,
    /// For WebSocket.
    frames: Option<Frames>,
    sender: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// serin drains: the direction ends at the next border between two messages.
    Leaving,
    /// No more is read. What was read is still to be written.
    Ending,
    Ended,
}

/// Returns when both directions have ended, or the time is up. Fails if a side is broken.
pub async fn run(worker: &Worker, connection: &Connection, mut tunnel: Tunnel) -> io::Result<()> {
    let (alarms, limits) = (&connection.session.alarms, &connection.session.limits);
    let way = |sender| Way {
        state: State::Open,
        message: Outgoing::new(Framing::Length),
        frames: tunnel.websocket.then(Frames::default),
        sender,
    };
    let (mut there, mut back) = (way(Side::Client), way(Side::Server));
    let mut said_goodbye = false;
    alarms.arm(Wait::Client, limits.tunnel_timeout);
    std::future::poll_fn(|cx| {
        if worker.stage() == Stage::Draining && !said_goodbye {
            said_goodbye = true;
            there.leave();
            back.leave();
            alarms.arm(Wait::Client, GOODBYE);
        }
        let mut moved = false;
        let ended = connection.with_wire(|client| {
            let upstream = &mut tunnel.upstream.wire;
            let there = there.poll(cx, client, upstream, &mut moved)?;
            let back = back.poll(cx, upstream, client, &mut moved)?;
            Ok::<_, io::Error>(there.is_ready() && back.is_ready())
        })?;
        if ended {
            return Poll::Ready(Ok(()));
        }
        if moved && !said_goodbye {
            alarms.arm(Wait::Client, limits.tunnel_timeout);
        }
        alarms.watch(cx);
        if alarms.rang(Wait::Client) { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

impl Way {
    fn leave(&mut self) {
        if self.state == State::Open {
            self.state = State::Leaving;
        }
    }

    /// Passes on what there is. Ready once the direction has ended on both sides. Sets `moved` if any byte has passed.
    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Wire, to: &mut Wire, moved: &mut bool) -> Poll<io::Result<()>> {
        loop {
            if self.state == State::Leaving {
                self.say_goodbye(to);
            }
            let before = self.message.written();
            let written = self.message.poll_written(cx, to);
            *moved |= self.message.written() > before;
            ready!(written)?;
            match self.state {
                State::Ended => return Poll::Ready(Ok(())),
                State::Ending => {
                    // A side that has left already cannot be told.
                    let _ = ready!(to.stream.poll_shutdown(cx));
                    self.state = State::Ended;
                }
                State::Open | State::Leaving => {
                    if from.input.is_empty() && ready!(from.poll_read(cx, READ_ROOM))? == 0 {
                        self.state = State::Ending;
                    }
                    self.take(from, to);
                }
            }
        }
    }

    /// Moves what was read to the other side: everything, or up to the end of the current frame.
    fn take(&mut self, from: &mut Wire, to: &mut Wire) {
        let length = match (&mut self.frames, self.state) {
            (Some(frames), State::Leaving) => frames.next_end(&from.input).unwrap_or(from.input.len()),
            (Some(frames), _) => {
                frames.follow(&from.input);
                from.input.len()
            }
            (None, _) => from.input.len(),
        };
        to.out.extend_from_slice(&from.input[..length]);
        from.input.advance(length);
        if from.input.is_empty() {
            from.rest_input();
        }
    }

    /// Ends the direction, if a message may end here. A protocol that serin does not know may always end.
    fn say_goodbye(&mut self, to: &mut Wire) {
        match &mut self.frames {
            Some(frames) if !frames.at_border() => return,
            Some(frames) => {
                let goodbye = going_away(self.sender);
                frames.follow(goodbye);
                to.out.extend_from_slice(goodbye);
            }
            None => {}
        }
        self.state = State::Ending;
    }
}
