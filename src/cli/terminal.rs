//! The terminal's width, and colours if it has them. In a pipe and with `NO_COLOR` the same text is printed without colours.

use std::io::{IsTerminal, stdout};

use anstyle::{AnsiColor, Style};

/// The meaning of a piece of text, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Strong,
    Soft,
    Good,
    Bad,
    Watch,
}

/// The width in a pipe.
const WIDTH: usize = 100;
/// Longer lines are hard to read.
const WIDTH_MOST: usize = 120;
const WIDTH_LEAST: usize = 40;

/// How many characters a line may have.
pub fn width() -> usize {
    let found = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    found.filter(|_| is_terminal()).map_or(WIDTH, |width| width.clamp(WIDTH_LEAST, WIDTH_MOST))
}

/// Whether the output goes to a terminal.
pub fn is_terminal() -> bool {
    stdout().is_terminal()
}

/// Prints text with its colours, or without them if they are not wanted.
pub fn print(text: &str) {
    anstream::print!("{text}");
}

pub fn paint(tone: Tone, text: &str) -> String {
    let style = match tone {
        Tone::Strong => Style::new().bold(),
        Tone::Soft => Style::new().dimmed(),
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Bad => AnsiColor::Red.on_default().bold(),
        Tone::Watch => AnsiColor::Yellow.on_default(),
    };
    format!("{style}{text}{style:#}")
}

/// Breaks the text into lines of at most `width` characters, each with the indent. A longer word gets a line of its own.
pub fn wrap(text: &str, indent: &str, width: usize) -> String {
    let most = width.saturating_sub(indent.chars().count()).max(1);
    let (mut lines, mut line) = (String::new(), String::new());
    // A number stays together with its sign.
    let text = text.replace(" %", "\u{a0}%").replace("E = ", "E\u{a0}=\u{a0}");
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > most {
            lines += &format!("{indent}{line}\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines += &format!("{indent}{line}\n");
    }
    lines.replace('\u{a0}', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_no_longer_than_the_terminal() {
        let text = "It is held at 25 %, step 4 of 7. About 25 % of the workspaces are on v42.";
        let wrapped = wrap(text, "  ", 30);
        assert!(wrapped.lines().all(|line| line.chars().count() <= 30 && line.starts_with("  ")), "{wrapped}");
        assert_eq!(wrapped.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
        assert_eq!(wrap("averyveryverylongword and", "", 10), "averyveryverylongword\nand\n");
        assert_eq!(wrap("", "  ", 10), "");
    }
}
