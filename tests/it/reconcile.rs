//! Exactly once: what clients sent, what they were told and what the bots received, reconciled while everything changes and fails at the
//! same time. `make reconcile` sends 500,000 webhooks.

use std::time::{Duration, Instant};

use crate::harness::{Config, PATIENCE, turns};
use crate::load::{Books, Bot, Clients, Mix, Place, Succession, TIMEOUT, scatter, split};

/// How many webhooks for every change, and how many a second: the other tests need the cores too.
const FEW: (usize, u32) = (3_000, 600);
/// With more of them. Each client waits for its answer, so this is an upper limit.
const PER_SECOND: u32 = 3_000;
/// Between two changes.
const PAUSE: Duration = Duration::from_millis(250);
/// For which a bot that restarts refuses connections.
const DOWN: Duration = Duration::from_millis(200);

/// How many webhooks are sent, and how many a second.
fn size() -> (usize, u32) {
    let wanted = std::env::var("SERIN_RECONCILE").ok().and_then(|count| count.parse().ok()).unwrap_or_else(|| turns(FEW.0));
    (wanted, if wanted > FEW.0 { PER_SECOND } else { FEW.1 })
}

/// What was changed, how often.
#[derive(Debug, Default)]
struct Changes {
    weights: usize,
    reloads: usize,
    restarts: usize,
}

#[test]
fn what_is_answered_with_a_success_was_delivered_once_and_all_else_at_most_once() {
    let (books, place) = (Books::default(), Place::new());
    let bots = [Bot::start(&books, Mix::ALL), Bot::start(&books, Mix::ALL)];
    // A bot that fails so often would be taken to zero, and no weight would last.
    let always = format!("timeout = \"{TIMEOUT}\"\nguard = {{ brake = false }}");
    let config = |turn: usize| -> Config { split(&bots[0], &bots[1]).bot(&always).bot(&format!("undo_window = \"{}h\"", 24 + turn % 2)) };
    std::fs::write(&place.config, place.text(&config(0))).unwrap();
    let mut serins = Succession::start(&place);
    let (wanted, per_second) = size();
    let clients = Clients::start(&place.front(serins.serin()), Mix::ALL, per_second);
    let (mut changes, mut last) = (Changes::default(), (0, Instant::now()));
    for turn in 0.. {
        std::thread::sleep(PAUSE);
        match turn % 8 {
            0 | 2 | 5 => changes.weights += usize::from(serins.serin().put_weight((scatter(turn, 0) % 101) as f64).status == 200),
            1 => {
                changes.reloads += 1;
                serins.serin().apply_config(&place.text(&config(changes.reloads)));
            }
            3 | 6 => {
                bots[scatter(turn, 1) as usize % 2].restart(DOWN);
                changes.restarts += 1;
            }
            4 => serins.upgrade(),
            _ => (),
        }
        let count = clients.count();
        // All kinds of changes come once at least.
        if count >= wanted && turn >= 8 {
            break;
        }
        if count > last.0 {
            last = (count, Instant::now());
        }
        assert!(last.1.elapsed() < PATIENCE, "no webhook has had its end for {PATIENCE:?}");
    }
    let sent = clients.end();
    // Requests whose clients have left run on.
    serins.serin().nothing_in_flight();
    let balance = books.balance(sent.told.iter());
    eprintln!("{balance}");
    eprintln!("{:?}, {:.0} a second in {:.0?}, the slowest took {:?}", sent.by_protocol, sent.per_second(), sent.took, sent.slowest());
    eprintln!("{changes:?}, {} upgrades, in HTTP/2 on another connection or again: {:?}", serins.upgrades, sent.again);
    balance.adds_up();
    // Every bot's fault has an answer, or half of one: without any, serin has cut off a client that cannot know what became of its webhook.
    assert!(balance.refused.is_empty(), "{:?}", balance.refused);
    assert!(balance.delivered > balance.sent / 2, "{} of {}", balance.delivered, balance.sent);
    assert!(changes.weights > 0);
    serins.end();
}
