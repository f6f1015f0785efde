//! The limits of the platforms' texts.

/// Cuts a text to at most `most` characters and marks the cut with `…`.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most.saturating_sub(1)) {
        Some((at, _)) if text.chars().nth(most).is_some() => format!("{}…", &text[..at]),
        Some(_) | None => text.to_owned(),
    }
}
