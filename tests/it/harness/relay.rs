//! A relay between the two serins of a take-over. It passes their messages and descriptors on, and stops at one of them, so that a test
//! can act at that very moment.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serin::app::take_over::{Line, Message};
use tokio::net::{UnixListener, UnixStream};

use super::PATIENCE;

/// The messages of a take-over in their order.
pub const MESSAGES: [&str; 7] = ["hello", "welcome", "sockets", "prepared", "history", "ready", "retires"];

pub struct Relay {
    directory: tempfile::TempDir,
    reached: Receiver<()>,
    go: SyncSender<Go>,
}

/// What becomes of the message that is held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Go {
    On,
    Nowhere,
}

impl Relay {
    /// Connects a newer serin, which must get `directory` as its RUNTIME_DIRECTORY, to the older one behind `socket`. Holds the first
    /// message of this name.
    pub fn start(socket: &Path, stop_at: &'static str) -> Relay {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (path, socket) = (directory.path().join("serin.sock"), socket.to_owned());
        let ((stopped, reached), (go, may_go)) = (sync_channel(1), sync_channel(1));
        let (ready, is_ready) = sync_channel(1);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = UnixListener::bind(path).expect("a path for a socket");
                ready.send(()).expect("the test waits");
                let (newer, _) = listener.accept().await.expect("a newer serin connects");
                let older = UnixStream::connect(socket).await.expect("an older serin listens");
                let (mut newer, mut older) = (Line::new(newer).expect("of our user"), Line::new(older).expect("of our user"));
                let mut stop_at = Some(stop_at);
                loop {
                    let (message, from, to) = tokio::select! {
                        message = newer.receive(PATIENCE) => (message, &mut newer, &mut older),
                        message = older.receive(PATIENCE) => (message, &mut older, &mut newer),
                    };
                    // If one of them is gone, both connections end.
                    let Ok(message) = message else { return };
                    if stop_at == Some(name(&message)) {
                        stop_at = None;
                        let _ = stopped.send(());
                        if may_go.recv() != Ok(Go::On) {
                            return;
                        }
                    }
                    let count = if let Message::Sockets(passed) = &message { passed.len() } else { 0 };
                    let descriptors: Vec<_> = (0..count).map(|_| from.descriptor().expect("one for each socket")).collect();
                    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
                    // If the receiver is gone, what it has said before is still passed on.
                    let _ = to.send(&message, &descriptors).await;
                }
            });
        });
        is_ready.recv().expect("the relay listens");
        Relay { directory, reached, go }
    }

    pub fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Waits until the message has come that is held.
    pub fn is_reached(&self) {
        self.reached.recv_timeout(PATIENCE).expect("the take-over gets that far");
    }

    /// Passes the message on.
    pub fn goes_on(&self) {
        self.go.send(Go::On).expect("the relay waits");
    }

    /// Closes both connections instead, as the kernel does if the sender dies before it has said this.
    pub fn drops_it(&self) {
        self.go.send(Go::Nowhere).expect("the relay waits");
    }
}

fn name(message: &Message) -> &'static str {
    match message {
        Message::Hello { .. } => "hello",
        Message::Welcome { .. } => "welcome",
        Message::Sockets(_) => "sockets",
        Message::Prepared => "prepared",
        Message::History => "history",
        Message::Ready { .. } => "ready",
        Message::Retires => "retires",
        Message::Failed { .. } => "failed",
        Message::Refused { .. } => "refused",
    }
}
