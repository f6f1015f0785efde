//! "Did you mean": finds the valid name that is nearest to a misspelt one.

/// The nearest candidate, if it is near enough: one difference for three letters, three at most.
pub(super) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer texts are no misspelt names, and the table in `distance` grows with the length.
    const LONGEST: usize = 64;
    let written_len = written.chars().count();
    if written_len > LONGEST {
        return None;
    }
    let allowed = (written_len.div_ceil(3)).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&written.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The letters to change, add, remove or swap with their neighbour (optimal string alignment). A hyphen for an underscore does not count.
fn distance(a: &str, b: &str) -> usize {
    let plain = |s: &str| s.chars().map(|c| if c == '-' { '_' } else { c }).collect::<Vec<_>>();
    let (a, b) = (plain(a), plain(b));
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 6] = ["stable", "canary", "weight", "connect_timeout", "timeout", "max"];

    #[test]
    fn a_slip_finds_what_was_meant() {
        for (written, meant) in [
            ("stabel", Some("stable")),
            ("Stable", Some("stable")),
            ("wieght", Some("weight")),
            ("connect-timeout", Some("connect_timeout")),
            ("time_out", Some("timeout")),
            ("mx", Some("max")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, KEYS), meant, "{written}");
        }
        assert_eq!(nearest(&"stable".repeat(20), KEYS), None);
    }
}
