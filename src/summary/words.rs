//! Numbers, times and names for people.

use std::time::Duration;

use crate::core::{Release, Weight, Worth};

/// `0 %`, `0.42 %`, `3.3 %`, `38 %`: two figures at most below 100 %.
pub fn share(part: f64, all: f64) -> String {
    if all <= 0.0 {
        return "0 %".to_owned();
    }
    let percent = part / all * 100.0;
    let digits = match percent {
        p if p == 0.0 || p >= 10.0 => 0,
        p if p >= 1.0 => 1,
        p if p >= 0.1 => 2,
        p if p >= 0.01 => 3,
        _ => 4,
    };
    let text = format!("{percent:.digits$}");
    format!("{} %", if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text })
}

/// `25 %`, `12.5 %`: the exact weight.
pub fn weight(weight: Weight) -> String {
    format!("{} %", weight.percent())
}

/// A number of per cent, exactly: `12.5 %`.
pub fn percent(percent: f64) -> String {
    format!("{percent} %")
}

/// `1,204`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

/// `40 s`, `54 min`, `2 h 5 min`, `3 d 4 h`: the largest unit and the one below it.
pub fn lasting(time: Duration) -> String {
    let (secs, minute, hour, day) = (time.as_secs(), 60, 3_600, 86_400);
    let both = |large: (u64, &str), small: (u64, &str)| match secs % large.0 / small.0 {
        0 => format!("{} {}", secs / large.0, large.1),
        rest => format!("{} {} {rest} {}", secs / large.0, large.1, small.1),
    };
    match secs {
        _ if secs < minute => format!("{secs} s"),
        _ if secs < hour => format!("{} min", secs / minute),
        _ if secs < day => both((hour, "h"), (minute, "min")),
        _ => both((day, "d"), (hour, "h")),
    }
}

/// `E = 67`, `E over a million`.
pub fn evidence(e: f64) -> String {
    match Worth(e).to_string() {
        number if number.starts_with(|c: char| c.is_ascii_digit()) => format!("E = {number}"),
        words => format!("E {words}"),
    }
}

/// `12 ms`, `1.4 s`.
pub fn latency(micros: f64) -> String {
    let millis = micros.max(0.0) / 1_000.0;
    match millis {
        m if m >= 1_000.0 => format!("{:.1} s", m / 1_000.0),
        m if m >= 10.0 => format!("{m:.0} ms"),
        m => format!("{m:.1} ms"),
    }
}

/// `22:40 UTC`, with the date before it if that differs from the date of `now`; both arguments are in Unix seconds. The page may
/// replace the text by the reader's local time.
pub fn clock(at: f64, now: f64) -> String {
    let moment = |unix: f64| jiff::Timestamp::from_second(unix as i64).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC);
    let (at, now) = (moment(at), moment(now));
    match at.date() == now.date() {
        true => at.strftime("%H:%M UTC").to_string(),
        false => at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    }
}

/// A release's version, or its upstream if it has none.
pub fn short(release: &Release) -> &str {
    release.version.as_deref().unwrap_or(&release.upstream)
}

/// The version in a release's text, `v42 on green`; or the upstream, if the text is only that.
pub fn name_of(release: &str) -> &str {
    release.split_once(" on ").map_or(release, |(version, _)| version)
}

/// `1 request`, `2 requests`.
pub fn some(number: u64, word: &str) -> String {
    format!("{} {word}{}", count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_two_figures() {
        let shown = [(0.0, 0.0), (0.0, 610.0), (8.0, 239.0), (2.0, 610.0), (38.0, 100.0), (1.0, 100.0), (1.0, 20_000.0), (7.0, 7.0)]
            .map(|(part, all)| share(part, all));
        assert_eq!(shown, ["0 %", "0 %", "3.3 %", "0.33 %", "38 %", "1 %", "0.005 %", "100 %"]);
    }

    #[test]
    fn durations_have_at_most_two_units() {
        let shown = [0, 59, 60, 3_240, 3_600, 7_500, 86_400, 273_600].map(|secs| lasting(Duration::from_secs(secs)));
        assert_eq!(shown, ["0 s", "59 s", "1 min", "54 min", "1 h", "2 h 5 min", "1 d", "3 d 4 h"]);
    }

    #[test]
    fn a_time_has_its_date_where_it_is_not_today() {
        // 2026-11-28.
        let (evening, next_day) = (1_795_905_600.0, 1_795_948_800.0);
        assert_eq!(clock(evening, evening + 60.0), "22:40 UTC");
        assert_eq!(clock(evening, next_day), "2026-11-28 22:40 UTC");
    }

    #[test]
    fn counts_are_grouped_and_latencies_have_a_unit() {
        assert_eq!([7, 610, 1_204, 1_000_000].map(count), ["7", "610", "1,204", "1,000,000"]);
        assert_eq!([900.0, 12_400.0, 1_440_000.0, -3.0].map(latency), ["0.9 ms", "12 ms", "1.4 s", "0.0 ms"]);
        assert_eq!([67.4, 4e8].map(evidence), ["E = 67", "E over a million"]);
        assert_eq!((some(1, "request"), some(2, "request")), ("1 request".to_owned(), "2 requests".to_owned()));
    }
}
