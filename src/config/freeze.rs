//! When nothing is raised: windows of the week and spans of days, in a time zone.

use std::fmt;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// The windows of a bot.
#[derive(Clone, Debug, PartialEq)]
pub struct FreezeWindows {
    pub zone: TimeZone,
    pub windows: Vec<FreezeWindow>,
}

/// A window as written, and its meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct FreezeWindow {
    text: String,
    spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Span {
    /// Minutes since Monday 00:00, without the end. An end before the beginning is in the next week.
    Weekly { from: u32, to: u32 },
    /// Whole days, the last one included.
    Days { first: Date, last: Date },
}

const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// What an error message tells people to write.
pub(super) const EXAMPLES: &str = "write \"Fri 16:00 - Mon 08:00\", \"Mon-Fri 18:00 - 08:00\" or \"2026-12-20 - 2027-01-06\"";

impl FreezeWindows {
    /// The window that is open at `now`.
    pub fn at(&self, now: Timestamp) -> Option<&FreezeWindow> {
        let local = now.to_zoned(self.zone.clone());
        let day = local.weekday().to_monday_zero_offset() as u32;
        let minute = day * DAY + local.hour() as u32 * 60 + local.minute() as u32;
        self.windows.iter().find(|window| window.spans.iter().any(|span| span.holds(minute, local.date())))
    }

    /// The window and its time zone, for people.
    pub fn text(&self, window: &FreezeWindow) -> String {
        let zone = self.zone.iana_name().unwrap_or("local time");
        format!("{window} ({zone})")
    }
}

impl fmt::Display for FreezeWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Span {
    fn holds(self, minute: u32, date: Date) -> bool {
        match self {
            Span::Weekly { from, to } if from < to => (from..to).contains(&minute),
            Span::Weekly { from, to } => minute >= from || minute < to,
            Span::Days { first, last } => (first..=last).contains(&date),
        }
    }
}

impl FreezeWindow {
    pub fn parse(text: &str) -> Option<FreezeWindow> {
        let (from, to) = text.split_once(" - ")?;
        let (from, to) = (from.trim(), to.trim());
        let spans = match (from.parse::<Date>(), to.parse::<Date>()) {
            (Ok(first), Ok(last)) if first <= last && first.checked_add(1.day()).is_ok() => vec![Span::Days { first, last }],
            (Err(_), Err(_)) => weekly(from, to)?,
            _ => return None,
        };
        Some(FreezeWindow { text: text.trim().to_owned(), spans })
    }
}

/// `Fri 16:00` and `Mon 08:00`; `Mon-Fri 18:00` and `08:00`; `22:00` and `06:00`.
fn weekly(from: &str, to: &str) -> Option<Vec<Span>> {
    let (days, begins) = match from.rsplit_once(' ') {
        Some((days, time)) => (days_of(days.trim())?, time_of(time)?),
        None => ((0..7).collect(), time_of(from)?),
    };
    if let Some((day, time)) = to.rsplit_once(' ') {
        let ([begins_on], ends_on) = (days.as_slice(), day_of(day.trim())?) else { return None };
        let (from, to) = (begins_on * DAY + begins, (ends_on * DAY + time_of(time)?) % WEEK);
        return (from != to).then(|| vec![Span::Weekly { from, to }]);
    }
    let ends = time_of(to)?;
    let length = if ends > begins { ends - begins } else { ends + DAY - begins };
    Some(days.into_iter().map(|day| Span::Weekly { from: day * DAY + begins, to: (day * DAY + begins + length) % WEEK }).collect())
}

/// `Mon`, `Mon-Fri`, `Sat,Sun`.
fn days_of(text: &str) -> Option<Vec<u32>> {
    let mut days = Vec::new();
    for part in text.split(',').map(str::trim) {
        match part.split_once('-') {
            Some((first, last)) => {
                let (first, last) = (day_of(first.trim())?, day_of(last.trim())?);
                days.extend((0..7).map(|next| (first + next) % 7).take(((last + 7 - first) % 7 + 1) as usize));
            }
            None => days.push(day_of(part)?),
        }
    }
    Some(days)
}

fn day_of(text: &str) -> Option<u32> {
    let found = DAYS.iter().position(|day| text.get(..3).is_some_and(|short| short.eq_ignore_ascii_case(day)))?;
    let whole = format!("{:?}", Weekday::from_monday_zero_offset(found as i8).ok()?);
    (text.len() == 3 || text.eq_ignore_ascii_case(&whole)).then_some(found as u32)
}

/// Minutes since midnight; `24:00` is the day's end.
fn time_of(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| (text.len() == 2).then(|| text.parse::<u32>().ok()).flatten();
    let (hour, minute) = (number(hour)?, number(minute)?);
    (hour < 24 && minute < 60 || hour == 24 && minute == 0).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(window: &str, zone: &str, times: &[&str]) -> Vec<bool> {
        let freeze = FreezeWindows { zone: TimeZone::get(zone).unwrap(), windows: vec![FreezeWindow::parse(window).unwrap()] };
        times.iter().map(|time| freeze.at(time.parse().unwrap()).is_some()).collect()
    }

    #[test]
    fn a_weekend_is_from_friday_to_monday_where_people_live() {
        // 2026-11-20 is a Friday; Berlin is an hour ahead of UTC in winter.
        let times =
            ["2026-11-20T14:59:00Z", "2026-11-20T15:00:00Z", "2026-11-22T12:00:00Z", "2026-11-23T06:59:00Z", "2026-11-23T07:00:00Z"];
        assert_eq!(open("Fri 16:00 - Mon 08:00", "Europe/Berlin", &times), [false, true, true, true, false]);
        // And two in summer.
        assert_eq!(open("Fri 16:00 - Mon 08:00", "Europe/Berlin", &["2026-07-03T13:59:00Z", "2026-07-03T14:00:00Z"]), [false, true]);
    }

    #[test]
    fn nights_of_working_days_end_the_next_morning() {
        let times =
            ["2026-11-20T19:00:00Z", "2026-11-21T07:59:00Z", "2026-11-21T08:00:00Z", "2026-11-21T19:00:00Z", "2026-11-23T07:00:00Z"];
        assert_eq!(open("Mon-Fri 18:00 - 08:00", "UTC", &times), [true, true, false, false, false]);
        assert_eq!(
            open("22:00 - 06:00", "UTC", &["2026-11-22T23:00:00Z", "2026-11-23T05:59:00Z", "2026-11-23T06:00:00Z"]),
            [true, true, false]
        );
        assert_eq!(
            open("Sat,Sunday 00:00 - 24:00", "UTC", &["2026-11-21T00:00:00Z", "2026-11-22T23:59:00Z", "2026-11-23T00:00:00Z"]),
            [true, true, false]
        );
        assert_eq!(open("Fri-Mon 09:00 - 10:00", "UTC", &["2026-11-22T09:30:00Z", "2026-11-24T09:30:00Z"]), [true, false]);
    }

    #[test]
    fn days_are_whole_and_the_last_one_counts() {
        let times = ["2026-12-19T23:59:00Z", "2026-12-20T00:00:00Z", "2027-01-06T23:59:00Z", "2027-01-07T00:00:00Z"];
        assert_eq!(open("2026-12-20 - 2027-01-06", "UTC", &times), [false, true, true, false]);
    }

    #[test]
    fn what_is_no_window_is_none() {
        for text in [
            "",
            "Fri",
            "Fri 16:00",
            "Fri 16 - Mon 08",
            "Fri 25:00 - Mon 08:00",
            "Mon-Fri 18:00 - Mon 08:00",
            "Fry 16:00 - Mon 08:00",
            "Fri 16:00 - Fri 16:00",
            "2027-01-06 - 2026-12-20",
            "2026-12-20 - 08:00",
            "Fri 6:00 - 8:00",
        ] {
            assert_eq!(FreezeWindow::parse(text), None, "{text}");
        }
    }
}
