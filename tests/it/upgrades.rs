//! Upgrades and reloads under load: each webhook is answered, and delivered once, in every protocol. With `SERIN_TEST_COUNT` at 5,000
//! and more it is 20 upgrades and 20 reloads under 3,000 requests a second.

use std::time::Duration;

use crate::harness::{Config, turns};
use crate::load::{Books, Bot, Clients, Mix, Place, Succession, split};

/// Between two changes, so that requests come at all stages.
const PAUSE: Duration = Duration::from_millis(200);

#[test]
fn upgrades_and_reloads_under_load_lose_no_request_and_deliver_none_twice() {
    let changes = turns(2).min(20);
    let per_second = if changes == 20 { 3_000 } else { 600 };
    let (books, place) = (Books::default(), Place::new());
    let (blue, green) = (Bot::start(&books, Mix::SHORT), Bot::start(&books, Mix::SHORT));
    let config = |timeout: usize| -> Config { split(&blue, &green).bot(&format!("timeout = \"{timeout}s\"")) };
    std::fs::write(&place.config, place.text(&config(10))).unwrap();
    let mut serins = Succession::start(&place);
    let clients = Clients::start(&place.front(serins.serin()), Mix::SHORT, per_second);
    for number in 0..changes {
        std::thread::sleep(PAUSE);
        serins.serin().apply_config(&place.text(&config(11 + number % 2)));
        let weight = 1.0 + number as f64;
        serins.serin().set_weight(weight);
        std::thread::sleep(PAUSE);
        serins.upgrade();
        assert_eq!(serins.serin().bot()["weight_percent"], weight);
    }
    std::thread::sleep(PAUSE);
    let sent = clients.end();
    eprintln!("{changes} upgrades and {changes} reloads; the slowest upgrade took {:?}", serins.slowest);
    eprintln!("{} requests, {:.0} a second, the slowest took {:?}", sent.told.len(), sent.per_second(), sent.slowest());
    eprintln!("{:?}, in HTTP/2 on another connection or again: {:?}", sent.by_protocol, sent.again);
    sent.all_are_ok();
    let balance = books.balance(sent.told.iter());
    balance.adds_up();
    assert_eq!(balance.delivered, sent.told.len());
    serins.end();
}
