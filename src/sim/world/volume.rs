//! How much traffic a simulated bot has, and from how many workspaces.

use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    pub name: String,
    /// Requests per second, averaged over the day, for all workspaces together.
    pub rps: f64,
    pub workspaces: u32,
}

/// Name, requests per second, workspaces. `wide` shows the cost of many workspaces, of which several share a bucket.
pub const NAMED: [(&str, f64, u32); 4] = [("small", 2.0, 200), ("medium", 50.0, 600), ("large", 2_000.0, 1_500), ("wide", 2_000.0, 8_000)];

const RPS_MAX: f64 = 20_000.0;
pub const WORKSPACES_MAX: u32 = 50_000;

impl Volume {
    /// Reads a name, or requests per second.
    pub fn parse(text: &str) -> Result<Volume, String> {
        if let Some((name, rps, workspaces)) = NAMED.into_iter().find(|(name, _, _)| *name == text) {
            return Ok(Volume { name: name.to_owned(), rps, workspaces });
        }
        match text.trim_end_matches("rps").parse::<f64>() {
            Ok(rps) if (0.01..=RPS_MAX).contains(&rps) => Ok(Volume { name: format!("{rps}rps"), rps, workspaces: usual_workspaces(rps) }),
            _ => Err("write small, medium, large, wide, or requests a second from 0.01 to 20000".to_owned()),
        }
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} workspaces at {} requests a second)", self.name, self.workspaces, self.rps)
    }
}

/// The workspaces for other volumes than the named ones: about 3 times the workspaces for 25 times the traffic.
fn usual_workspaces(rps: f64) -> u32 {
    (200.0 * (rps / 2.0).powf(0.3)).round().max(20.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_a_name_or_a_rate() {
        assert_eq!(Volume::parse("medium").unwrap(), Volume { name: "medium".to_owned(), rps: 50.0, workspaces: 600 });
        assert_eq!(Volume::parse("2").unwrap().workspaces, 200);
        assert_eq!(Volume::parse("50rps").unwrap().workspaces, 525);
        for wrong in ["", "huge", "0", "-1", "NaN", "1e9"] {
            assert!(Volume::parse(wrong).is_err(), "{wrong}");
        }
    }
}
