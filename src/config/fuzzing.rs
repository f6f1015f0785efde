//! What the fuzz targets check of the config: any text as the file, and any bytes as the files of a certificate and its key.

use std::path::Path;

use toml::de::DeTable;

use super::{Config, ConfigError, parse, redact, resolve};

/// In a folder that is not there, so that a relative path names no file.
const PATH: &str = "/nowhere/serin.toml";

/// Shorter texts can occur in a message by chance.
const SECRET_BYTES_FEW: usize = 8;

/// An error says something and quotes no secret. Line ends of Windows mean the same, and the commands that only look for the admin
/// listener find that of the whole config.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A device or a pipe may make whoever reads it wait.
    if ["/dev", "/proc", "/sys"].iter().any(|folder| text.contains(folder)) {
        return;
    }
    match read(text) {
        Err(error) => {
            let said = error.to_string();
            assert!(error.count() > 0 && said.contains(PATH), "{said}");
            says_no_secret(text, &said);
        }
        Ok(config) => {
            let (listen, tls) = resolve::admin_listener(text);
            assert_eq!((listen, tls), (config.admin.listen, config.admin.tls.is_some()));
            config.warnings.iter().for_each(|warning| says_no_secret(text, warning));
            // In a text of several lines, a line end is a part of the value.
            if !text.contains('\r') && !text.contains("\"\"\"") && !text.contains("'''") {
                let windows = read(&text.replace('\n', "\r\n")).expect("only the line ends are other ones");
                assert_eq!(meaning(windows), meaning(config));
            }
        }
    }
}

fn read(text: &str) -> Result<Config, ConfigError> {
    parse(text, Path::new(PATH))
}

/// Everything but the hash of the text.
fn meaning(config: Config) -> String {
    format!("{:?}", Config { hash: 0, ..config })
}

fn says_no_secret(text: &str, said: &str) {
    let (table, broken) = DeTable::parse_recoverable(text);
    let secrets = match broken.is_empty() {
        true => redact::secrets(text, table.get_ref()),
        false => redact::secrets_of_broken(text, table.get_ref()),
    };
    for at in secrets {
        let secret = text[at].trim_matches(|c: char| c.is_whitespace() || "\"'".contains(c));
        // What also stands elsewhere in the file may be quoted from there.
        if secret.len() >= SECRET_BYTES_FEW && text.matches(secret).count() == 1 && !PATH.contains(secret) {
            assert!(!said.contains(secret), "{secret:?} in {said}");
        }
    }
}
