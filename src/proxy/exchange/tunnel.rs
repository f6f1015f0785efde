//! A connection that has changed to another protocol: the upstream's side, and its count.

use std::rc::Rc;

use crate::core::Track;
use crate::proxy::upstream::Connection;
use crate::proxy::worker::BotView;

pub struct Tunnel {
    pub upstream: Box<Connection>,
    /// Both sides speak WebSocket now, whose frames serin can tell apart.
    pub websocket: bool,
    bot: Rc<BotView>,
    track: Track,
}

impl Tunnel {
    pub fn new(upstream: Box<Connection>, websocket: bool, bot: Rc<BotView>, track: Track) -> Tunnel {
        bot.meters().tunnels[track as usize].add(1);
        Tunnel { upstream, websocket, bot, track }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.bot.meters().tunnels[self.track as usize].add(-1);
    }
}
