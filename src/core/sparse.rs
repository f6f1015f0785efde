//! Long lists of which nearly all entries are the same, as they are kept: the length, that entry, and the others with
//! their places. A bot has 10,000 buckets and mostly some hundred workspaces.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub fn serialize<T: Serialize + PartialEq, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    // In a list of its own: a format may not tell an entry that is `None` from no entry.
    let usual: Vec<&T> = majority(list).into_iter().collect();
    let others: Vec<(usize, &T)> = list.iter().enumerate().filter(|(_, one)| usual.first() != Some(one)).collect();
    (list.len(), usual, others).serialize(serializer)
}

pub fn deserialize<'de, T: Deserialize<'de> + Clone, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let (length, usual, others): (usize, Vec<T>, Vec<(usize, T)>) = Deserialize::deserialize(deserializer)?;
    let mut list = match usual.into_iter().next() {
        Some(usual) if length <= LENGTH_MOST => vec![usual; length],
        None if length == 0 => Vec::new(),
        _ => return Err(D::Error::custom("no such list")),
    };
    for (place, other) in others {
        *list.get_mut(place).ok_or_else(|| D::Error::custom("a place beyond the end"))? = other;
    }
    Ok(list)
}

/// What is longer was not written here.
const LENGTH_MOST: usize = 1 << 20;

/// The entry that more than half of them are, if there is one; else some entry (Boyer and Moore).
fn majority<T: PartialEq>(list: &[T]) -> Option<&T> {
    let mut held: Option<&T> = None;
    let mut lead = 0usize;
    for one in list {
        if lead == 0 {
            held = Some(one);
        }
        if held == Some(one) { lead += 1 } else { lead -= 1 }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Kept(#[serde(with = "super")] Vec<Option<u32>>);

    proptest! {
        #[test]
        fn what_is_kept_comes_back(list in proptest::collection::vec(proptest::option::weighted(0.3, 0u32..5), 0..200)) {
            let kept = Kept(list);
            let bytes = rmp_serde::to_vec(&kept).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<Kept>(&bytes).unwrap(), kept);
        }
    }

    #[test]
    fn ten_thousand_of_the_same_are_a_few_bytes() {
        let mut list = vec![None; 10_000];
        list[77] = Some(3);
        assert!(rmp_serde::to_vec(&Kept(list)).unwrap().len() < 20);
    }
}
