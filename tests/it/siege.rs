//! Clients that mean ill, by the thousand: the others' webhooks are answered as fast as before. `make siege` is 20,000 connections from 200
//! addresses and 500 handshakes a second.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWriteExt;

use crate::harness::{Process, eventually};
use crate::load::{Books, Bot, Clients, Crowd, Habit, Handshakes, Mix, Place, Sent, Vitals, per_mille, split};

/// How much of everything there is.
struct Size {
    crowd: usize,
    /// Slow readers need as many connections to the bot.
    readers: usize,
    max_connections: usize,
    handshakes: u32,
    per_second: u32,
    lasts: Duration,
}

const SHORT: Size = Size { crowd: 400, readers: 300, max_connections: 350, handshakes: 50, per_second: 200, lasts: Duration::from_secs(4) };
const FULL: Size =
    Size { crowd: 20_000, readers: 5_000, max_connections: 20_000, handshakes: 500, per_second: 500, lasts: Duration::from_secs(30) };
/// Far above what a busy machine needs. Whoever is shut out waits for longer: a silent connection stays for ten seconds.
const P99_MAX: Duration = Duration::from_secs(3);

#[test]
fn webhooks_are_answered_in_time_while_clients_are_silent_or_slow_or_want_handshakes() {
    let size = if std::env::var_os("SERIN_SIEGE").is_some() { FULL } else { SHORT };
    let (books, place) = (Books::default(), Place::new());
    let (blue, green) = (Bot::start(&books, Mix::SHORT), Bot::start(&books, Mix::SHORT));
    let upstreams = format!("upstreams = {{ only = \"http://{}\" }}", endless_answers());
    let long = ["name = \"long\"", "match = { path_prefix = \"/long\" }", "workspace = \"header:X-Workspace\"", "stable = \"only\""];
    let config = split(&blue, &green).limit(&format!("max_connections = {}", size.max_connections)).add(&long).bot(&upstreams);
    std::fs::write(&place.config, place.text(&config)).unwrap();
    let serin = Process::start_with(&place.config);
    let front = place.front(&serin);
    let serves = |name: &str| {
        let clients = Clients::start(&front, Mix::SHORT, size.per_second);
        std::thread::sleep(size.lasts);
        let sent = clients.end();
        eprintln!("{}", row(name, &sent, &serin));
        sent.all_are_ok();
        for times in [&sent.kept, &sent.fresh] {
            assert!(per_mille(times, 990) < P99_MAX, "{name}: the p99 is {:?}", per_mille(times, 990));
        }
    };
    eprintln!(
        "{:<28}{:>8}{:>20}{:>20}{:>10}{:>9}{:>13}",
        "", "req/s", "kept p50/p99 ms", "fresh p50/p99 ms", "slowest", "RSS MiB", "connections"
    );
    serves("nobody else");
    for habit in Habit::ALL {
        let count = if habit == Habit::SlowReader { size.readers } else { size.crowd };
        let crowd = Crowd::start(habit, count, front.plain);
        // Those that came first are closed before the last ones come.
        eventually("the crowd", || (connections(&serin) >= 0.7 * count.min(size.max_connections / 2) as f64).then_some(()));
        serves(&format!("{count} × {habit:?}"));
        drop(crowd);
        eventually("the crowd has gone", || (connections(&serin) == 0.0).then_some(()));
    }
    let handshakes = Handshakes::start(&front, size.handshakes);
    serves(&format!("{} handshakes/s", size.handshakes));
    let greeted = handshakes.end();
    eprintln!("{greeted:?}");
    assert_eq!(greeted.failed, 0);
    assert!(greeted.whole > 0);
}

fn connections(serin: &Process) -> f64 {
    serin.metrics().sum("serin_client_connections", &[])
}

fn row(name: &str, sent: &Sent, serin: &Process) -> String {
    let ms = |times: &[Duration]| {
        let [half, most] = [500, 990].map(|n| per_mille(times, n).as_secs_f64() * 1_000.0);
        format!("{half:.1} / {most:.1}")
    };
    let (resident, open) = (Vitals::now(serin.id()).resident_kib / 1_024, connections(serin));
    let slowest = format!("{:.0?}", sent.slowest());
    format!("{name:<28}{:>8.0}{:>20}{:>20}{slowest:>10}{resident:>9}{open:>13}", sent.per_second(), ms(&sent.kept), ms(&sent.fresh))
}

/// A bot that answers every request without end, as fast as it is taken.
fn endless_answers() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    // The connections inherit it. On the loopback interface the kernel would keep megabytes for each.
    SockRef::from(&listener).set_send_buffer_size(64 * 1024).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n").await?;
                    while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {}
                    std::io::Result::Ok(())
                });
            }
        });
    });
    address
}
