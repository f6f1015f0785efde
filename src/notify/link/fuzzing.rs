//! What the fuzz target checks of links: any bytes as a token, as a signed content, and as the names in a ticket.

use super::*;

const KEY: InstallationKey = InstallationKey::of_test(7);

/// Only a token that serin itself would make opens; a ticket comes back as it was, and a change of any character makes its token invalid.
pub fn link(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(ticket) = Ticket::open(&KEY, &text) {
        assert_eq!(ticket.seal(&KEY), *text, "{ticket:?}");
    }
    if let Some(ticket) = Ticket::open(&KEY, &with_seal(data)) {
        assert!(comes_back(&ticket), "{ticket:?}");
    }
    let ticket = named(&text);
    if comes_back(&ticket) {
        let token = ticket.seal(&KEY);
        let at = data.first().map_or(0, |byte| usize::from(*byte) % token.len());
        let mut forged = token.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(Ticket::open(&KEY, std::str::from_utf8(&forged).expect("ASCII")), None, "{at} of {token}");
        assert_eq!(Ticket::open(&InstallationKey::of_test(8), &token), None);
    }
}

/// `true` unless the ticket is too long for a link; panics if another one comes back.
fn comes_back(ticket: &Ticket) -> bool {
    let token = ticket.seal(&KEY);
    let opened = Ticket::open(&KEY, &token);
    assert!(opened.as_ref().is_none_or(|opened| opened == ticket));
    assert_eq!(opened.is_some(), token.len() <= TOKEN_MOST);
    opened.is_some()
}

/// A token with this content, whatever it is, and a seal that fits.
fn with_seal(content: &[u8]) -> String {
    let payload = URL_SAFE_NO_PAD.encode(content);
    let seal = hmac::sign(&signing(&KEY), &signed(payload.as_bytes()));
    format!("{payload}.{}", URL_SAFE_NO_PAD.encode(seal))
}

fn named(text: &str) -> Ticket {
    let (bot, rest) = text.split_at(text.floor_char_boundary(text.len() / 3));
    let (notifier, release) = rest.split_at(rest.floor_char_boundary(rest.len() / 2));
    let number = |text: &str| text.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(251).wrapping_add(u64::from(byte)));
    let act = [Act::Advance, Act::Resume, Act::Abort, Act::Undo][text.len() % 4];
    let (bot, notifier, stands) = (bot.to_owned(), notifier.to_owned(), Stands(release.to_owned(), number(bot) % 10_001));
    Ticket { act, bot, revision: number(rest), stands, notifier, expires: number(text) }
}
