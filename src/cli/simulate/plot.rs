//! Draws one run: weight, evidence and bad requests over time. It writes SVG itself, because three panels need no library.

use std::fmt::Write;

use crate::sim::runs::{Moment, Record};
use crate::sim::world::TrackCounts;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 60.0;
const PANEL: f64 = 150.0;
const GAP: f64 = 40.0;
const STABLE: &str = "#2563eb";
const CANARY: &str = "#d97706";
/// Rates are those of the last minute, because a single tick has too few requests.
const SMOOTHED_SECS: f64 = 60.0;

/// One panel: its place, and the values at its lower and upper edge.
struct Panel {
    top: f64,
    low: f64,
    high: f64,
    minutes: f64,
}

pub fn svg(title: &str, moments: &[Moment], record: &Record) -> String {
    let minutes = moments.last().map_or(1.0, |moment| moment.now.as_secs_f64() / 60.0).max(1.0 / 60.0);
    let panel = |number: u32, low: f64, high: f64| Panel { top: TOP + f64::from(number) * (PANEL + GAP), low, high, minutes };
    let height = TOP + 3.0 * PANEL + 2.0 * GAP + 40.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}</text>\n<text x=\"{LEFT}\" y=\"36\">{}</text>\n",
        escaped(title),
        escaped(&super::table::ending(record))
    );
    let highest = moments.iter().map(|moment| moment.weight.percent()).fold(0.0, f64::max);
    weight(&mut text, &panel(0, 0.0, top(highest)), moments);
    evidence(&mut text, moments, |low, high| panel(1, low, high));
    rates(&mut text, moments, |high| panel(2, 0.0, high));
    time_axis(&mut text, minutes, height);
    text + "</svg>\n"
}

fn weight(text: &mut String, panel: &Panel, moments: &[Moment]) {
    panel.frame(text, "weight, %");
    for part in [0.0, 0.5, 1.0] {
        let percent = part * panel.high;
        panel.level(text, percent, &format!("{percent}"));
    }
    panel.line(text, CANARY, moments.iter().map(|moment| (minutes(moment), moment.weight.percent())));
}

/// log10 E, with lines at 5, 20 and 150: no raise from there on, a human is told, the canary goes to 0 %.
fn evidence(text: &mut String, moments: &[Moment], panel: impl Fn(f64, f64) -> Panel) {
    let values = || moments.iter().filter_map(|moment| Some((minutes(moment), moment.log10_evidence?)));
    let high = values().map(|(_, value)| value).fold(2.5, f64::max).min(12.0);
    let low = values().map(|(_, value)| value).fold(-1.0, f64::min).max(-4.0);
    let panel = panel(low, high);
    panel.frame(text, "evidence E, on a logarithmic scale: from 5 on no raise, from 20 on a human is told, at 150 the canary goes to zero");
    for e in [1.0_f64, 5.0, 20.0, 150.0] {
        panel.level(text, e.log10(), &format!("{e}"));
    }
    panel.line(text, CANARY, values());
}

/// Errors, late and rejected, as a share of each track's requests.
fn rates(text: &mut String, moments: &[Moment], panel: impl Fn(f64) -> Panel) {
    let tracks = [smoothed(moments, |moment| moment.stable), smoothed(moments, |moment| moment.canary)];
    let most = tracks.iter().flatten().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let most = top(most);
    let panel = panel(most);
    panel.frame(text, "error, late or rejected, % of the last minute: stable blue, canary orange");
    for share in [0.0, 0.5, 1.0] {
        panel.level(text, share * most, &format!("{}", share * most));
    }
    for (line, colour) in tracks.into_iter().zip([STABLE, CANARY]) {
        panel.line(text, colour, line.into_iter());
    }
}

/// The next round number of per cent above.
fn top(percent: f64) -> f64 {
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0].into_iter().find(|top| *top >= percent).unwrap_or(100.0)
}

fn smoothed(moments: &[Moment], of: impl Fn(&Moment) -> TrackCounts) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    let (mut sum, mut first) = (TrackCounts::default(), 0.0);
    for moment in moments {
        sum += of(moment);
        if moment.now.as_secs_f64() - first >= SMOOTHED_SECS {
            if sum.requests > 0 {
                points.push((minutes(moment), 100.0 * f64::from(sum.bad()) / f64::from(sum.requests)));
            }
            (sum, first) = (TrackCounts::default(), moment.now.as_secs_f64());
        }
    }
    points
}

fn time_axis(text: &mut String, minutes: f64, height: f64) {
    let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"{:.1}\" dx=\"-15\" text-anchor=\"end\">minute</text>", height - 15.0);
    let rounds = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 360.0, 720.0];
    let every = rounds.into_iter().find(|every| minutes / every <= 12.0).unwrap_or_else(|| (minutes / 12.0 / 1_440.0).ceil() * 1_440.0);
    for tick in 0..=(minutes / every) as u32 {
        let at = f64::from(tick) * every;
        let x = LEFT + (WIDTH - LEFT - RIGHT) * at / minutes;
        let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{at}</text>", height - 15.0);
    }
}

fn minutes(moment: &Moment) -> f64 {
    moment.now.as_secs_f64() / 60.0
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

impl Panel {
    fn x(&self, minutes: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * minutes / self.minutes
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        self.top + PANEL * (1.0 - part)
    }

    fn frame(&self, text: &mut String, title: &str) {
        let width = WIDTH - LEFT - RIGHT;
        let _ =
            writeln!(text, "<rect x=\"{LEFT}\" y=\"{}\" width=\"{width}\" height=\"{PANEL}\" fill=\"none\" stroke=\"#999\"/>", self.top);
        let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"{}\">{title}</text>", self.top - 5.0);
    }

    fn level(&self, text: &mut String, value: f64, label: &str) {
        let (y, right) = (self.y(value), WIDTH - RIGHT);
        let _ = writeln!(text, "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>");
        let _ = writeln!(text, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 5.0, y + 4.0);
    }

    fn line(&self, text: &mut String, colour: &str, points: impl Iterator<Item = (f64, f64)>) {
        let points: Vec<String> = points.map(|(minutes, value)| format!("{:.1},{:.1}", self.x(minutes), self.y(value))).collect();
        let _ = writeln!(text, "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>", points.join(" "));
    }
}
