//! The 10,000 buckets of workspaces. A bucket's baseline belongs to its workspaces, so neither a release nor a version of serin may
//! move a workspace to another bucket. The hash is XXH3 (64 bit), which is published and frozen; golden vectors are below.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The number of buckets: enough for steps of 0.01 %, and few enough to keep a tally for each.
pub const BUCKETS: u16 = 10_000;

/// The tenant to which a webhook belongs. The namespace separates a team's id from a user's id with the same digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace<'a> {
    pub namespace: &'a str,
    pub id: Cow<'a, str>,
}

impl fmt::Display for Workspace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.namespace, self.id)
    }
}

/// The installation's salt. With another salt, the same workspace is in an unrelated bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salt(Box<[u8]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16")]
pub struct Bucket(u16);

impl TryFrom<u16> for Bucket {
    type Error = &'static str;

    fn try_from(number: u16) -> Result<Bucket, &'static str> {
        (number < BUCKETS).then_some(Bucket(number)).ok_or("there is no such bucket")
    }
}

impl Salt {
    pub fn new(salt: &str) -> Salt {
        Salt(salt.as_bytes().into())
    }

    /// `xxh3_64(salt ‖ 0 ‖ namespace ‖ ":" ‖ id) mod 10,000`.
    pub fn bucket(&self, workspace: &Workspace<'_>) -> Bucket {
        let hash = concat_on_stack(&[&self.0, &[0], workspace.namespace.as_bytes(), b":", workspace.id.as_bytes()], xxh3_64);
        Bucket((hash % u64::from(BUCKETS)) as u16)
    }

    /// The salt of one rollout: `xxh3_64(salt ‖ 0 ‖ bot ‖ 0 ‖ attempt as 8 bytes, little-endian)`. Each attempt gives the buckets
    /// new ranks, so that it is not always the same customers who are first.
    pub(super) fn release(&self, bot: &str, attempt: u64) -> ReleaseSalt {
        ReleaseSalt(concat_on_stack(&[&self.0, &[0], bot.as_bytes(), &[0], &attempt.to_le_bytes()], xxh3_64))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReleaseSalt(u64);

impl ReleaseSalt {
    /// `xxh3_64(bucket as 2 bytes, little-endian; seed = release salt)`: independent for each bucket.
    pub(super) fn rank(self, bucket: Bucket) -> u64 {
        xxh3_64_with_seed(&bucket.0.to_le_bytes(), self.0)
    }

    /// `xxh3_64("coins" ‖ revision as 8 bytes, little-endian; seed = release salt)`.
    pub(super) fn coins(self, revision: u64) -> u64 {
        concat_on_stack(&[b"coins", &revision.to_le_bytes()], |bytes| xxh3_64_with_seed(bytes, self.0))
    }
}

impl Bucket {
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    pub fn all() -> impl Iterator<Item = Bucket> {
        (0..BUCKETS).map(Bucket)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Calls `f` with the concatenated parts. Allocates only if they are longer than ids usually are.
fn concat_on_stack(parts: &[&[u8]], f: impl Fn(&[u8]) -> u64) -> u64 {
    const USUAL: usize = 192;
    let len = parts.iter().map(|p| p.len()).sum::<usize>();
    if len > USUAL {
        return f(&parts.concat());
    }
    let mut buffer = [0u8; USUAL];
    let mut at = 0;
    for part in parts {
        buffer[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    f(&buffer[..len])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace<'a>(namespace: &'a str, id: &'a str) -> Workspace<'a> {
        Workspace { namespace, id: id.into() }
    }

    /// These vectors never change; the module's comment has the reason. The reference C library (by Python's xxhash 3) made them.
    #[test]
    fn buckets_never_change_between_versions() {
        let salt = Salt::new("serin");
        let got: Vec<usize> =
            ["T1", "T00000001", "1234567890", "", "Ünï-💥"].iter().map(|id| salt.bucket(&workspace("team", id)).index()).collect();
        assert_eq!(got, [5947, 9514, 3060, 7052, 4588]);
        let long = "x".repeat(500);
        assert_eq!(salt.bucket(&workspace("acct", &long)).index(), 9998);
    }

    #[test]
    fn ranks_never_change_between_versions() {
        let salt = Salt::new("serin");
        let rank = |bot, attempt, bucket| salt.release(bot, attempt).rank(Bucket(bucket));
        assert_eq!(
            [rank("support", 0, 0), rank("support", 0, 9_999), rank("support", 1, 0), rank("other", 0, 0)],
            [12_469_675_766_184_852_354, 3_743_178_877_430_549_693, 15_862_574_656_192_679_506, 7_700_785_997_407_065_709]
        );
    }

    #[test]
    fn a_namespace_is_no_part_of_the_id() {
        let salt = Salt::new("serin");
        assert_ne!(salt.bucket(&workspace("team", "1")), salt.bucket(&workspace("user", "1")));
        assert_ne!(Salt::new("other").bucket(&workspace("team", "1")), salt.bucket(&workspace("team", "1")));
    }

    #[test]
    fn a_long_id_hashes_as_its_bytes_do() {
        let bytes = [b"ab".as_slice(), &[b'c'; 300]].concat();
        assert_eq!(concat_on_stack(&[b"ab", &[b'c'; 300]], xxh3_64), xxh3_64(&bytes));
        assert_eq!(concat_on_stack(&[b"ab", b"c"], xxh3_64), xxh3_64(b"abc"));
    }
}
