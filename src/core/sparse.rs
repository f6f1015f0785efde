//! A value for each bucket, where most are the same. A bot has 10,000 buckets and mostly some hundred workspaces: the usual value
//! takes neither memory nor time, in the process and on the disk.

use serde::de::Error as _;
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bucket::BUCKETS;

const LENGTH: usize = BUCKETS as usize;
const WORDS: usize = LENGTH.div_ceil(u64::BITS as usize);

/// A set of buckets, one bit for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BucketSet(Box<[u64; WORDS]>);

/// A value for each bucket. Only values that [`ByBucket::at`] was called for are held, in the buckets' order; every other bucket
/// has the usual one.
#[derive(Clone, Debug)]
pub(super) struct ByBucket<T> {
    usual: T,
    held: BucketSet,
    /// For each word of `held`, the number of values held before it. With a count of bits it gives the index of a bucket's value.
    before: Box<[u16; WORDS]>,
    values: Vec<T>,
}

impl BucketSet {
    pub fn none() -> BucketSet {
        BucketSet(Box::new([0; WORDS]))
    }

    pub fn all() -> BucketSet {
        let mut set = BucketSet(Box::new([u64::MAX; WORDS]));
        set.0[WORDS - 1] >>= WORDS * u64::BITS as usize - LENGTH;
        set
    }

    pub fn contains(&self, bucket: usize) -> bool {
        let (word, bit) = place(bucket);
        self.0[word] & bit != 0
    }

    /// Returns `true` if the bucket was not in the set before.
    pub fn insert(&mut self, bucket: usize) -> bool {
        let (word, bit) = place(bucket);
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    pub fn remove_all(&mut self, others: &BucketSet) {
        self.0.iter_mut().zip(others.0.iter()).for_each(|(word, other)| *word &= !other);
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The number of buckets in both sets.
    pub fn common(&self, other: &BucketSet) -> usize {
        self.0.iter().zip(other.0.iter()).map(|(one, other)| (one & other).count_ones() as usize).sum()
    }

    /// The buckets in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(number, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(number * u64::BITS as usize + bit)
            })
        })
    }
}

fn place(bucket: usize) -> (usize, u64) {
    (bucket / u64::BITS as usize, 1 << (bucket % u64::BITS as usize))
}

impl FromIterator<usize> for BucketSet {
    fn from_iter<I: IntoIterator<Item = usize>>(buckets: I) -> BucketSet {
        let mut set = BucketSet::none();
        for bucket in buckets {
            set.insert(bucket);
        }
        set
    }
}

impl<T: Clone> ByBucket<T> {
    pub fn new(usual: T) -> ByBucket<T> {
        ByBucket { usual, held: BucketSet::none(), before: Box::new([0; WORDS]), values: Vec::new() }
    }

    pub fn get(&self, bucket: usize) -> &T {
        if self.held.contains(bucket) { &self.values[self.place(bucket)] } else { &self.usual }
    }

    /// The bucket's value, to be changed. It is held from now on.
    pub fn at(&mut self, bucket: usize) -> &mut T {
        let place = self.place(bucket);
        if self.held.insert(bucket) {
            self.values.insert(place, self.usual.clone());
            self.before[bucket / u64::BITS as usize + 1..].iter_mut().for_each(|before| *before += 1);
        }
        &mut self.values[place]
    }

    /// The number of held values before the bucket's.
    fn place(&self, bucket: usize) -> usize {
        let (word, bit) = place(bucket);
        usize::from(self.before[word]) + (self.held.0[word] & (bit - 1)).count_ones() as usize
    }

    /// The held values, in the buckets' order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> + Clone {
        // Does not use `BucketSet::iter`, because this one must be `Clone`.
        (0..WORDS).filter(|word| self.held.0[*word] != 0).flat_map(move |word| {
            let first = usize::from(self.before[word]);
            let count = self.held.0[word].count_ones() as usize;
            let mut left = self.held.0[word];
            self.values[first..first + count].iter().map(move |value| {
                let bit = left.trailing_zeros() as usize;
                left &= left - 1;
                (word * u64::BITS as usize + bit, value)
            })
        })
    }

    pub fn values(&self) -> impl ExactSizeIterator<Item = &T> + Clone {
        self.values.iter()
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut()
    }

    /// Resets all buckets to the usual value.
    pub fn clear(&mut self) {
        *self = ByBucket::new(self.usual.clone());
    }

    /// Frees the values that equal the usual one.
    pub fn forget_usual(&mut self)
    where
        T: PartialEq,
    {
        if !self.values.contains(&self.usual) {
            return;
        }
        let mut kept = ByBucket::new(self.usual.clone());
        kept.extend(self.iter().filter(|(_, value)| **value != self.usual).map(|(bucket, value)| (bucket, value.clone())));
        *self = kept;
    }

    /// Sets these values. In ascending order each is appended.
    fn extend(&mut self, values: impl IntoIterator<Item = (usize, T)>) {
        values.into_iter().for_each(|(bucket, value)| *self.at(bucket) = value);
    }
}

/// Stored as the number of buckets, the usual value (in a list, because a format may not distinguish a value `None` from no value),
/// and the other values with their buckets.
impl<T: Serialize + Clone + PartialEq> Serialize for ByBucket<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let others: Vec<(usize, &T)> = self.iter().filter(|(_, value)| **value != self.usual).collect();
        serialize(serializer, &self.usual, &others)
    }
}

/// The usual value becomes the default, even if another one was the usual one when it was stored.
impl<'de, T: Deserialize<'de> + Clone + PartialEq + Default> Deserialize<'de> for ByBucket<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByBucket<T>, D::Error> {
        let kept = ByBucket::<T>::as_kept(deserializer)?;
        if kept.usual == T::default() {
            return Ok(kept);
        }
        let mut list = ByBucket::new(T::default());
        list.extend((0..LENGTH).map(|bucket| (bucket, kept.get(bucket).clone())).filter(|(_, value)| *value != T::default()));
        Ok(list)
    }
}

impl<'de, T: Deserialize<'de> + Clone> ByBucket<T> {
    /// Reads it with the usual value that was stored.
    pub fn as_kept<D: Deserializer<'de>>(deserializer: D) -> Result<ByBucket<T>, D::Error> {
        let (length, usual, others): (usize, Vec<T>, Vec<(usize, T)>) = Deserialize::deserialize(deserializer)?;
        let usual = usual.into_iter().next().filter(|_| length == LENGTH).ok_or_else(|| D::Error::custom("no list of all buckets"))?;
        if others.iter().any(|(bucket, _)| *bucket >= LENGTH) {
            return Err(D::Error::custom("a bucket beyond the last"));
        }
        let mut list = ByBucket::new(usual);
        list.extend(others);
        Ok(list)
    }
}

/// Stored as a list of bools.
impl Serialize for BucketSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let usual = self.len() * 2 > LENGTH;
        let others: Vec<(usize, bool)> = match usual {
            true => (0..LENGTH).filter(|bucket| !self.contains(*bucket)).map(|bucket| (bucket, false)).collect(),
            false => self.iter().map(|bucket| (bucket, true)).collect(),
        };
        serialize(serializer, &usual, &others)
    }
}

impl<'de> Deserialize<'de> for BucketSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<BucketSet, D::Error> {
        let kept = ByBucket::<bool>::as_kept(deserializer)?;
        Ok((0..LENGTH).filter(|bucket| *kept.get(*bucket)).collect())
    }
}

fn serialize<S: Serializer, T: Serialize, O: Serialize>(serializer: S, usual: &T, others: &[O]) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_tuple(3)?;
    list.serialize_element(&LENGTH)?;
    list.serialize_element(&[usual])?;
    list.serialize_element(others)?;
    list.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed<T: Serialize>(value: &T) -> Vec<u8> {
        rmp_serde::to_vec_named(value).unwrap()
    }

    proptest! {
        #[test]
        fn it_holds_what_a_full_list_holds_and_so_does_what_is_kept(
            changes in proptest::collection::vec((0..LENGTH, proptest::option::weighted(0.7, 0u32..5)), 0..300),
        ) {
            let mut full = vec![None; LENGTH];
            let mut list = ByBucket::new(None);
            for (bucket, value) in changes {
                full[bucket] = value;
                *list.at(bucket) = value;
            }
            let others = |list: &ByBucket<Option<u32>>| list.iter().map(|(bucket, value)| (bucket, *value)).collect::<Vec<_>>();
            prop_assert!(others(&list).is_sorted_by_key(|(bucket, _)| *bucket));
            let held: Vec<_> = full.iter().enumerate().filter(|(_, value)| value.is_some()).map(|(bucket, value)| (bucket, *value)).collect();
            let again: ByBucket<Option<u32>> = rmp_serde::from_slice(&packed(&list)).unwrap();
            prop_assert_eq!(others(&again), held.clone());
            list.forget_usual();
            prop_assert_eq!(others(&list), held);
            for (bucket, value) in full.iter().enumerate() {
                prop_assert!(list.get(bucket) == value && again.get(bucket) == value);
            }
        }

        #[test]
        fn a_set_that_is_kept_comes_back(buckets in proptest::collection::vec(0..LENGTH, 0..300), most: bool) {
            let mut set: BucketSet = buckets.iter().copied().collect();
            if most {
                let but = set;
                set = BucketSet::all();
                set.remove_all(&but);
                prop_assert_eq!(set.common(&but), 0);
            }
            prop_assert_eq!(set.iter().count(), set.len());
            prop_assert_eq!(rmp_serde::from_slice::<BucketSet>(&packed(&set)).unwrap(), set);
        }
    }

    #[test]
    fn what_was_usual_before_is_no_more() {
        let full: Vec<(usize, u32)> = vec![(3, 0), (4, 9)];
        let list: ByBucket<u32> = rmp_serde::from_slice(&packed(&(LENGTH, [7u32], full))).unwrap();
        assert_eq!((*list.get(3), *list.get(4), *list.get(5), list.iter().count()), (0, 9, 7, LENGTH - 1));
    }

    #[test]
    fn ten_thousand_of_the_same_are_a_few_bytes() {
        let mut list = ByBucket::new(None);
        *list.at(77) = Some(3);
        assert!(packed(&list).len() < 20);
        assert_eq!(BucketSet::all().len(), LENGTH);
        assert!(packed(&BucketSet::all()).len() < 20);
    }

    #[test]
    fn a_bucket_that_is_not_there_is_refused() {
        for (length, bucket) in [(LENGTH, LENGTH), (3, 0)] {
            assert!(rmp_serde::from_slice::<ByBucket<u32>>(&packed(&(length, [0u32], [(bucket, 1u32)]))).is_err());
        }
    }
}
