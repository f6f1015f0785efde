//! A webhook that follows from its number alone. The client makes it and sends it; the bot makes it again and compares every byte.

use bytes::Bytes;
use ring::hmac;
use std::fmt::Write;
use std::sync::LazyLock;

use super::Mix;

/// Values that a careless reader would change: blanks within, quotes, bytes above ASCII, nothing at all.
const ODD: [&[u8]; 6] =
    [b"a  b\tc; d=\"e, f\\\"\"", b"caf\xe9 \xff\x80", "ünïcode — ✓".as_bytes(), b"=?utf-8?q?x?= %00 %zz ,,;;", b"", &[b'v'; 1_500]];
const WORKSPACES: u64 = 400;
/// The longest body, and the longest filling of an answer.
const BODY_MAX: usize = 300_000;
const ANSWER_MAX: usize = 40_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    Never,
    /// In the middle of the body.
    HalfWay,
    /// With the whole request sent, and no answer yet.
    Unanswered,
}

#[derive(Clone, Debug)]
pub struct Webhook {
    pub id: u64,
    /// Path and query.
    pub target: String,
    pub fields: Vec<(&'static str, Vec<u8>)>,
    pub body: Bytes,
    pub chunked: bool,
    /// With `Expect: 100-continue`.
    pub expects: bool,
    pub leaves: Leaves,
}

impl Webhook {
    pub fn of(id: u64, mix: &Mix) -> Webhook {
        let team = format!("T{}", scatter(id, 1) % WORKSPACES);
        let (body, json) = body(id, &team, mix);
        let chunked = !body.is_empty() && scatter(id, 2).is_multiple_of(4);
        let expects = mix.long && !body.is_empty() && scatter(id, 3).is_multiple_of(16);
        let leaves = match scatter(id, 4) % 1_000 {
            n if n >= mix.leave_per_mille => Leaves::Never,
            n if n % 2 == 0 && body.len() > 1 => Leaves::HalfWay,
            _ => Leaves::Unanswered,
        };
        let mut fields = vec![("X-Id", id.to_string().into_bytes())];
        // serin finds the workspace of one half in the body, which it holds for that; the other half's bodies are streamed.
        match json {
            true => fields.push(("Content-Type", b"application/json".to_vec())),
            false => fields.push(("X-Workspace", team.into_bytes())),
        }
        fields.push(("X-Slack-Signature", signature("v0=", &[format!("v0:{id}:").as_bytes(), &body])));
        fields.push(("X-Hub-Signature-256", signature("sha256=", &[&body])));
        fields.push(("X-oDD", ODD[scatter(id, 5) as usize % ODD.len()].to_vec()));
        fields.push(("X-Part", b"1".to_vec()));
        fields.push(("X-Part", b"2, 3".to_vec()));
        let target = format!("/hook//%2e%2E/a;b=c/{id}?x=%00&y=a+b&z=~!");
        Webhook { id, target, fields, body, chunked, expects, leaves }
    }

    /// What a bot answers to it with status 200.
    pub fn answer(&self, mix: &Mix) -> Bytes {
        let length = match mix.long && scatter(self.id, 6).is_multiple_of(20) {
            true => scatter(self.id, 7) as usize % ANSWER_MAX,
            false => scatter(self.id, 7) as usize % 100,
        };
        let mut answer = format!("{}:", self.id).into_bytes();
        answer.extend_from_slice(letters(self.id, length));
        answer.into()
    }
}

/// Is it signed as its sender says? Slack signs a number with the body, GitHub the body alone.
pub fn is_signed(id: &str, body: &[u8], slack: &[u8], github: &[u8]) -> bool {
    slack == signature("v0=", &[format!("v0:{id}:").as_bytes(), body]) && github == signature("sha256=", &[body])
}

fn signature(prefix: &str, parts: &[&[u8]]) -> Vec<u8> {
    static KEY: LazyLock<hmac::Key> = LazyLock::new(|| hmac::Key::new(hmac::HMAC_SHA256, b"a secret of the platform and the bot"));
    let mut context = hmac::Context::with_key(&KEY);
    parts.iter().for_each(|part| context.update(part));
    let mut text = prefix.to_owned();
    context.sign().as_ref().iter().for_each(|byte| write!(text, "{byte:02x}").expect("a string takes text"));
    text.into_bytes()
}

/// A body, and whether it is JSON.
fn body(id: u64, team: &str, mix: &Mix) -> (Bytes, bool) {
    let n = scatter(id, 8) as usize;
    let length = match (scatter(id, 9) % 100, mix.long) {
        (0..10, _) => 0,
        (98.., true) => n % (BODY_MAX + 1),
        (93.., true) => n % 64_000,
        (75.., true) => n % 16_000,
        _ => n % 2_000,
    };
    if length > 0 && scatter(id, 10).is_multiple_of(2) {
        let text = std::str::from_utf8(letters(id, length)).expect("letters");
        return (format!("{{\"team_id\": \"{team}\", \"id\": {id}, \"text\": \"{text}\"}}").into(), true);
    }
    (Bytes::copy_from_slice(letters(id, length)), false)
}

/// So many letters from a place that depends on the number.
fn letters(id: u64, length: usize) -> &'static [u8] {
    const PLACES: usize = 4_099;
    static LETTERS: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..(BODY_MAX + PLACES) as u64).map(|at| b'a' + (scatter(at, 0) % 26) as u8).collect());
    let from = scatter(id, 11) as usize % PLACES;
    &LETTERS[from..from + length]
}

/// A number that looks random (the finish of splitmix64); `salt` makes several of one.
pub fn scatter(number: u64, salt: u64) -> u64 {
    let mut z = number.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
