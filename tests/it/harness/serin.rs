//! A serin in this process, and the requests of a test to any serin, in this process or another one.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::mpsc;
use std::thread::JoinHandle;

use serde_json::Value;
use serin::app::App;
use serin::store::Place;
use tokio::sync::oneshot;

use super::{Answer, Ask, Client, Config, Metrics, eventually};

/// The addresses of a serin.
#[derive(Clone, Debug)]
pub struct Handle {
    pub proxy: SocketAddr,
    pub admin: SocketAddr,
    /// For `Authorization`, where the config has tokens.
    pub token: Option<String>,
}

pub struct Serin {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Serin {
    pub fn start(config: &Config) -> Serin {
        Serin::with_token(config, None)
    }

    /// The harness sends its own requests with `token`.
    pub fn with_token(config: &Config, token: Option<&str>) -> Serin {
        let config = config.parsed();
        let (stop, stopped) = oneshot::channel();
        let (started, addresses) = mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let app = App::start(config, Place::Memory("a test".to_owned())).await.expect("a valid config starts");
                started.send((app.proxy.address(), app.admin)).expect("the test waits");
                let _ = stopped.await;
                app.stop().await;
            });
        });
        let (proxy, admin) = addresses.recv().expect("serin starts");
        Serin { handle: Handle { proxy, admin, token: token.map(str::to_owned) }, stop: Some(stop), thread: Some(thread) }
    }
}

impl Deref for Serin {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

/// Ends serin. If the test has failed already, its message comes first.
impl Drop for Serin {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.handle.nothing_in_flight();
        let _ = self.stop.take().map(|stop| stop.send(()));
        self.thread.take().map(JoinHandle::join).expect("joined once").expect("serin ends without a panic");
    }
}

impl Handle {
    pub fn client(&self) -> Client {
        Client::connect(self.proxy)
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn ask(&self, ask: &Ask) -> Answer {
        self.client().ask(ask)
    }

    /// To the admin listener, by its own name and with the token.
    #[track_caller]
    pub fn admin(&self, ask: Ask) -> Answer {
        let ask = ask.host(&self.admin.to_string()).field("Connection", "close");
        let ask = match &self.token {
            Some(token) => ask.field("Authorization", &format!("Bearer {token}")),
            None => ask,
        };
        Client::connect(self.admin).ask(&ask)
    }

    #[track_caller]
    pub fn bot(&self) -> Value {
        let answer = self.admin(Ask::new("GET", "/v1/bots/support"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    #[track_caller]
    pub fn put_weight(&self, percent: f64) -> Answer {
        self.admin(Ask::new("PUT", "/v1/bots/support/weight").json(&format!("{{\"percent\": {percent}}}")))
    }

    #[track_caller]
    pub fn set_weight(&self, percent: f64) {
        let answer = self.put_weight(percent);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["weight_percent"], percent);
    }

    #[track_caller]
    pub fn explain(&self, workspace: &str) -> Value {
        let answer = self.admin(Ask::new("GET", &format!("/v1/bots/support/explain?workspace={workspace}")));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let answer = self.admin(Ask::new("GET", "/metrics"));
        assert_eq!(answer.status, 200, "{answer:?}");
        Metrics::parse(answer.text())
    }

    /// Waits until `n` requests are counted with this outcome, and checks that there are no more. A request may be counted a moment
    /// after its answer.
    #[track_caller]
    pub fn counted(&self, track: &str, outcome: &str, n: usize) {
        let what = format!("{n} {outcome} on {track}");
        let labels = [("track", track), ("outcome", outcome)];
        let seen = eventually(&what, || Some(self.metrics().sum("serin_requests_total", &labels)).filter(|seen| *seen >= n as f64));
        assert_eq!(seen, n as f64, "{what}");
    }

    /// Waits until this many requests are counted, of all outcomes, and checks that there are no more.
    #[track_caller]
    pub fn counted_in_all(&self, n: usize) {
        let seen =
            eventually("all requests counted", || Some(self.metrics().sum("serin_requests_total", &[])).filter(|seen| *seen >= n as f64));
        assert_eq!(seen, n as f64);
    }

    /// A track's evidence: requests, errors, late, rejected.
    #[track_caller]
    pub fn evidence(&self, track: &str) -> [u64; 4] {
        let totals = &self.bot()["tracks"][track];
        ["requests", "errors", "late", "rejected"].map(|key| totals[key].as_u64().unwrap_or_else(|| panic!("{totals}")))
    }

    /// Waits until the evidence of a track has this many requests, and checks all four counts.
    #[track_caller]
    pub fn evidence_is(&self, track: &str, wanted: [u64; 4]) {
        eventually(&format!("{wanted:?} in the evidence of {track}"), || (self.evidence(track)[0] >= wanted[0]).then_some(()));
        assert_eq!(self.evidence(track), wanted, "the evidence of {track}");
    }

    #[track_caller]
    pub fn nothing_in_flight(&self) {
        let mut last = 0.0;
        let zero = || {
            last = self.metrics().sum("serin_inflight_requests", &[]);
            (last == 0.0).then_some(())
        };
        eventually("no request in flight", zero);
    }

    /// How many answers with this error code serin has sent.
    #[track_caller]
    pub fn errors(&self, code: &str) -> f64 {
        self.metrics().sum("serin_proxy_errors_total", &[("code", code)])
    }
}
