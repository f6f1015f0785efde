//! Where scenarios come from: the library, with which serin is measured, and an operator's own files. Both have the same form.

use std::path::Path;

use super::effect::Scenario;
use super::reading;
use crate::config::ConfigError;

const LIBRARY: &str = include_str!("../../../config/scenarios/library.toml");

/// All scenarios of the library, in the order of the tables.
pub fn library() -> Vec<Scenario> {
    reading::parse(LIBRARY, Path::new("config/scenarios/library.toml")).unwrap_or_else(|error| panic!("the library is wrong: {error}"))
}

/// Reads an operator's file.
pub fn load(path: &Path) -> Result<Vec<Scenario>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::unreadable(path, &source))?;
    reading::parse(&text, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::scenario::effect::EFFECTS_MAX;

    #[test]
    fn the_library_says_which_releases_are_bad() {
        let library = library();
        assert!(library.len() >= 24);
        for scenario in &library {
            assert_eq!(scenario.is_harmful(), scenario.name.starts_with("R_"), "{}", scenario.name);
            assert!(!scenario.about.is_empty() && scenario.effects.len() <= EFFECTS_MAX);
        }
    }
}
