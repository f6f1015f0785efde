//! Bodies that are nearly those of platforms: examples, changed at random where parsers could differ.

use std::fs;
use std::path::Path;

/// Values at which parsers differ, or ids.
const VALUES: &[&str] = &[
    "\"T1\"",
    "\"T2\"",
    "\"\"",
    "\"0\"",
    "null",
    "true",
    "0",
    "-0",
    "7",
    "7.0",
    "1e2",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "1e999",
    "[]",
    "{}",
    "[\"T1\"]",
    "{\"id\":\"T3\"}",
    "{\"id\":4,\"id\":5}",
    "\"\\u0054\\u0031\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\ude00\\ud83d\"",
    "\"é\u{2028}\"",
    "\"a\\/b\"",
    "\"\\x\"",
    "NaN",
    "01",
    "'T1'",
    "undefined",
];

/// Keys of the presets' sources, in other spellings too.
const KEYS: &[&str] = &[
    "\"team\"",
    "\"team_id\"",
    "\"id\"",
    "\"guild_id\"",
    "\"chat\"",
    "\"entry\"",
    "\"account\"",
    "\"enterprise_id\"",
    "\"te\\u0061m_id\"",
    "\"__proto__\"",
    "\"Team_id\"",
    "\"0\"",
    "\"\"",
    "\"\\ud800\"",
    "\"organization\"",
    "\"user\"",
    "\"event\"",
];

/// Bytes that mean something in JSON or in a form.
const MARKS: &[u8] = b"{}[]\",:\\/0123456789-+.eEtfnu \t\r\n&=%;+\xef\xbb\xbf\xff\0\x0b";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Json,
    Form,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Json => "json",
            Kind::Form => "form",
        }
    }
}

pub struct Body {
    pub kind: Kind,
    pub bytes: Vec<u8>,
}

impl Body {
    pub fn shown(&self) -> String {
        format!("{:?} {}", self.kind, self.bytes.escape_ascii())
    }
}

pub struct Bodies {
    json: Vec<Vec<u8>>,
    forms: Vec<Vec<u8>>,
    state: u64,
}

impl Bodies {
    pub fn new(seed: u64) -> Bodies {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/identify");
        let mut paths: Vec<_> = fs::read_dir(folder).expect("inputs").map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        let examples = paths.iter().filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("example-")));
        let all: Vec<Vec<u8>> = examples.map(|path| fs::read(path).expect("an input")).collect();
        let (json, forms): (Vec<_>, Vec<_>) = all.into_iter().partition(|body| body.starts_with(b"{"));
        assert!(json.len() > 10 && forms.len() > 3, "{} examples of JSON, {} of forms", json.len(), forms.len());
        Bodies { json, forms, state: seed }
    }

    /// The next body. Most have few changes, so that many are still read.
    pub fn next(&mut self) -> Body {
        match self.below(5) {
            0 => {
                let form = self.below(self.forms.len());
                let mut bytes = self.forms[form].clone();
                self.change(&mut bytes, Bodies::change_form);
                Body { kind: Kind::Form, bytes }
            }
            1 => {
                let mut bytes = b"payload=".to_vec();
                let json = self.json();
                let how = self.below(3);
                json.iter().for_each(|byte| encode(*byte, how, &mut bytes));
                if self.below(3) == 0 {
                    self.change(&mut bytes, Bodies::change_form);
                }
                Body { kind: Kind::Form, bytes }
            }
            _ => Body { kind: Kind::Json, bytes: self.json() },
        }
    }

    fn json(&mut self) -> Vec<u8> {
        let example = self.below(self.json.len());
        let mut bytes = self.json[example].clone();
        self.change(&mut bytes, Bodies::change_json);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, change: fn(&mut Bodies, &mut Vec<u8>)) {
        for _ in 0..self.below(4) {
            match self.below(6) {
                0 => self.change_byte(bytes),
                _ => change(self, bytes),
            }
        }
    }

    /// A key or a value instead of another one, or a key once more.
    fn change_json(&mut self, bytes: &mut Vec<u8>) {
        let colons: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b':').collect();
        let Some(colon) = (!colons.is_empty()).then(|| colons[self.below(colons.len())]) else { return };
        let value = VALUES[self.below(VALUES.len())].as_bytes();
        let key = KEYS[self.below(KEYS.len())].as_bytes();
        let end = bytes[colon..].iter().position(|byte| b",}]".contains(byte)).map_or(bytes.len(), |at| colon + at);
        let start = bytes[..colon].iter().rposition(|byte| b",{".contains(byte)).map_or(0, |at| at + 1);
        match self.below(8) {
            0..=2 => drop(bytes.splice(colon + 1..end, value.iter().copied())),
            3 => drop(bytes.splice(start..colon, key.iter().copied())),
            4 => {
                let again = [&bytes[start..colon], b":", value, b","].concat();
                bytes.splice(start..start, again);
            }
            5 => {
                let more = [b",", key, b":", value].concat();
                bytes.splice(end..end, more);
            }
            6 => {
                let depth = [1, 3, 120, 130, 1_500][self.below(5)];
                let nested = [vec![b'['; depth], value.to_vec(), vec![b']'; depth]].concat();
                bytes.splice(colon + 1..end, nested);
            }
            _ => {
                let digits = vec![b'1' + self.below(9) as u8; [19, 20, 21, 5_000][self.below(4)]];
                bytes.splice(colon + 1..end, digits);
            }
        }
    }

    /// A field once more, without its value, or in another encoding.
    fn change_form(&mut self, bytes: &mut Vec<u8>) {
        let fields: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'&').map(<[u8]>::to_vec).collect();
        let mut field = fields[self.below(fields.len())].clone();
        match self.below(6) {
            0 => field.truncate(field.iter().position(|byte| *byte == b'=').map_or(0, |at| at + 1)),
            1 => field.extend_from_slice([&b"%ff"[..], b"%c3%a9", b"+", b"%2B", b"%00", b"%", b"%zz"][self.below(7)]),
            2 => {
                let how = self.below(2);
                let plain = std::mem::take(&mut field);
                plain.iter().for_each(|byte| if *byte == b'=' { field.push(b'=') } else { encode(*byte, how, &mut field) });
            }
            3 => field = [b"team_id=", [&b"T1"[..], b"T2", b"", b"0", b"T%31"][self.below(5)]].concat(),
            4 => field = [b"AccountSid=", [&b"AC1"[..], b"AC2", b"A+C", b"%41C1"][self.below(4)]].concat(),
            _ => {}
        }
        let mut fields = fields;
        fields.insert(self.below(fields.len() + 1), field);
        *bytes = fields.join(&b'&');
    }

    fn change_byte(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let at = self.below(bytes.len());
        let mark = MARKS[self.below(MARKS.len())];
        match self.below(4) {
            0 => bytes[at] = mark,
            1 => bytes.insert(at, mark),
            2 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
    }

    /// splitmix64.
    fn below(&mut self, end: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.state;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) % end as u64) as usize
    }
}

/// 0: only what must be encoded; 1: everything; 2: nothing.
fn encode(byte: u8, how: usize, out: &mut Vec<u8>) {
    match (byte, how) {
        (b' ', 0) => out.push(b'+'),
        (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'~', 0) | (_, 2) => out.push(byte),
        _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
    }
}
