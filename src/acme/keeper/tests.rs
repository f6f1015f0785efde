//! The keeper in simulated time, with an authority that follows a script.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::config::ChallengeKind;

const DAY: i64 = 24 * 3600;
/// The beginning of each story.
const START: i64 = 20_000 * DAY;

thread_local! {
    static BEGAN: Cell<Option<tokio::time::Instant>> = const { Cell::new(None) };
}

fn clock() -> i64 {
    START + BEGAN.get().map_or(0, |began| began.elapsed().as_secs() as i64)
}

/// A certificate with its key that is valid for so many days from now.
fn issue(name: &str, days: i64) -> String {
    let at = |secs: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(secs as u64);
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (at(clock()), at(clock() + days * DAY));
    let key = rcgen::KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().pem() + &key.serialize_pem()
}

/// How the authority answers the next order.
#[derive(Clone)]
enum Does {
    Issues(i64),
    Fails(Kind),
    Hangs,
}

#[derive(Clone, Default)]
struct Script {
    orders: Arc<Mutex<VecDeque<Does>>>,
    /// When which name was ordered, in seconds since the beginning.
    ordered: Arc<Mutex<Vec<(i64, String)>>>,
    window: Option<Validity>,
}

impl Authority for Script {
    async fn order(&mut self, name: &str, _replaced: Option<&Pair>) -> Result<String, Trouble> {
        self.ordered.lock().unwrap().push((clock() - START, name.to_owned()));
        let does = self.orders.lock().unwrap().pop_front().unwrap_or(Does::Hangs);
        match does {
            Does::Issues(days) => Ok(issue(name, days)),
            Does::Fails(kind) => Err(Trouble::new(kind, "as the script says")),
            Does::Hangs => std::future::pending().await,
        }
    }

    async fn suggested(&mut self, _shown: &Pair) -> Option<(Validity, Duration)> {
        self.window.map(|window| (window, Duration::from_secs(6 * 3600)))
    }
}

struct Story {
    folder: tempfile::TempDir,
    around: Surroundings,
    script: Script,
}

impl Story {
    fn new(orders: &[Does]) -> Story {
        BEGAN.set(Some(tokio::time::Instant::now()));
        let metrics = Arc::new(Metrics::new(1, Vec::new()));
        let front = Arc::new(FrontTls::new(None, metrics.clone()));
        let script = Script { orders: Arc::new(Mutex::new(orders.iter().cloned().collect())), ..Script::default() };
        Story { folder: tempfile::tempdir().unwrap(), around: Surroundings { front, metrics, clock, hurry: Arc::default() }, script }
    }

    fn keeper(&self, names: &[&str]) -> Keeper<Script> {
        let config = Config {
            domains: names.iter().map(|name| (*name).to_owned()).collect(),
            contact: None,
            directory: "https://acme.example/dir".to_owned(),
            folder: None,
            authorities: None,
            external_account: None,
            challenge: ChallengeKind::TlsAlpn,
        };
        Keeper::begin(Arc::new(config), self.folder.path(), self.around.clone(), |_| self.script.clone())
    }

    /// Lets the keeper run for so many days, and returns when each name was ordered.
    async fn run(&self, names: &[&str], days: u64) -> Vec<(i64, String)> {
        let _ = tokio::time::timeout(Duration::from_secs(days * DAY as u64), self.keeper(names).run()).await;
        self.script.ordered.lock().unwrap().clone()
    }
}

fn times(ordered: &[(i64, String)]) -> Vec<i64> {
    ordered.iter().map(|(at, _)| *at).collect()
}

#[tokio::test(start_paused = true)]
async fn a_name_is_ordered_at_once_and_renewed_at_two_thirds() {
    let story = Story::new(&[Does::Issues(90), Does::Issues(90)]);
    let times = times(&story.run(&["a.example"], 100).await);
    assert_eq!(times.len(), 2, "{times:?}");
    assert!(times[0] <= 1 && (60 * DAY..60 * DAY + 3).contains(&times[1]), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stored_certificate_is_not_ordered_again_before_it_is_due() {
    let story = Story::new(&[Does::Issues(90)]);
    assert_eq!(story.run(&["a.example"], 10).await.len(), 1);
    let again = story.run(&["a.example"], 40).await;
    assert_eq!(again.len(), 1, "the second process found it: {again:?}");
    let shown = story.keeper(&["a.example"]).names.remove(0).shown;
    assert_eq!(shown.map(|pair| (pair.not_after - START + DAY / 2) / DAY), Some(90));
}

#[tokio::test(start_paused = true)]
async fn an_expired_certificate_is_not_shown() {
    let story = Story::new(&[Does::Issues(3), Does::Hangs]);
    assert_eq!(story.run(&["a.example"], 1).await.len(), 1);
    tokio::time::advance(Duration::from_secs(5 * DAY as u64)).await;
    assert!(story.keeper(&["a.example"]).names[0].shown.is_none());
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_after_growing_pauses() {
    let story = Story::new(&[Does::Fails(Kind::Challenge), Does::Fails(Kind::Refused), Does::Fails(Kind::Challenge), Does::Issues(90)]);
    let times = times(&story.run(&["a.example"], 1).await);
    let pauses: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses.len(), 3, "{times:?}");
    for (pause, least) in pauses.iter().zip([60, 120, 240]) {
        assert!((least..=2 * least + 3).contains(pause), "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_fails_keeps_no_other_name_waiting_but_an_authority_that_fails_does() {
    let refused = Story::new(&[Does::Fails(Kind::Refused), Does::Issues(90)]);
    let _ = tokio::time::timeout(Duration::from_secs(30), refused.keeper(&["a.example", "b.example"]).run()).await;
    let names: Vec<String> = refused.script.ordered.lock().unwrap().iter().map(|(_, name)| name.clone()).collect();
    assert_eq!(names, ["a.example", "b.example"]);
    let down = Story::new(&[Does::Fails(Kind::Unreachable), Does::Issues(90)]);
    let _ = tokio::time::timeout(Duration::from_secs(30), down.keeper(&["a.example", "b.example"]).run()).await;
    assert_eq!(down.script.ordered.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_operator_ends_the_pause() {
    let story = Story::new(&[Does::Fails(Kind::Unreachable), Does::Issues(90)]);
    let hurry = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        story.around.hurry.notify_one();
        tokio::time::sleep(Duration::from_secs(10)).await;
    };
    tokio::select! {
        () = story.keeper(&["a.example"]).run() => {}
        () = hurry => {}
    }
    let times = times(&story.script.ordered.lock().unwrap());
    assert!(times.len() == 2 && (10..13).contains(&times[1]), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_hangs_is_given_up() {
    let story = Story::new(&[Does::Hangs, Does::Issues(90)]);
    let times = times(&story.run(&["a.example"], 1).await);
    assert!(times.len() == 2 && (660..=725).contains(&times[1]), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn the_authority_can_want_an_early_renewal_but_not_orders_without_end() {
    let mut story = Story::new(&[Does::Issues(90), Does::Issues(90)]);
    // The script says so of every certificate.
    story.script.window = Some(Validity { from: START - 2 * DAY, to: START - DAY });
    let times = times(&story.run(&["a.example"], 2).await);
    for gap in [times[1] - times[0], times[2] - times[1]] {
        assert!((77_760..77_800).contains(&gap), "a hundredth of the lifetime: {times:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_cannot_be_written_is_a_failure_of_all_names() {
    let story = Story::new(&[Does::Issues(90)]);
    std::fs::write(story.folder.path().join("acme.example_dir"), "a file in the way").unwrap();
    let mut keeper = story.keeper(&["a.example", "b.example"]);
    keeper.order(0).await;
    assert!(keeper.common.failures == 1 && keeper.names[0].shown.is_none());
    assert!(story.script.ordered.lock().unwrap().is_empty(), "nothing is ordered that cannot be kept");
}
