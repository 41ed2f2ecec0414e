//! [`Keyspace`]: every key with its value, in an order that is the same on every replica, so that SCAN can go on where it
//! left off, through whichever member.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdSet;
use quorate::LogTime;

/// Keys and values, ordered by a hash of the key. Cloning is cheap: the tree is shared until one side changes. A change then
/// copies the nodes on the way to its key; they are small, because they hold pointers and not what they point to.
#[derive(Clone, Default, Debug)]
pub struct Keyspace(OrdSet<Place>);

/// A key with what stands under it.
#[derive(PartialEq, Eq, Debug)]
pub struct Pair {
    pub key: Bytes,
    pub value: Value,
}

/// What stands under a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value {
    pub bytes: Bytes,
    /// From this log time on it is gone.
    pub end: Option<LogTime>,
    /// Changes with every change of the key. No two changes of a store share one.
    pub version: u64,
}

impl Value {
    pub fn has_ended(&self, now: LogTime) -> bool {
        self.end.is_some_and(|end| end <= now)
    }
}

/// A pair in its place.
#[derive(Clone, Debug)]
struct Place {
    hash: u64,
    pair: Arc<Pair>,
}

/// What has a place, or is sought in one. Should hashes collide, by chance or by malice, the keys' own order decides: slower,
/// never wrong. A key is looked at only then, for it stands elsewhere in memory.
trait Placed {
    fn hash(&self) -> u64;
    fn key(&self) -> &[u8];
}

impl Placed for Place {
    fn hash(&self) -> u64 {
        self.hash
    }

    fn key(&self) -> &[u8] {
        &self.pair.key
    }
}

/// A hash and a key: what is sought.
impl Placed for (u64, &[u8]) {
    fn hash(&self) -> u64 {
        self.0
    }

    fn key(&self) -> &[u8] {
        self.1
    }
}

impl Ord for dyn Placed + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.hash().cmp(&other.hash()).then_with(|| self.key().cmp(other.key()))
    }
}

impl PartialOrd for dyn Placed + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Placed + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for dyn Placed + '_ {}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.hash.cmp(&other.hash).then_with(|| self.pair.key.cmp(&other.pair.key))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

impl<'a> Borrow<dyn Placed + 'a> for Place {
    fn borrow(&self) -> &(dyn Placed + 'a) {
        self
    }
}

/// FNV-1a, 64 bits: the same on every machine and in every version, because cursors outlive both.
fn hash(key: &[u8]) -> u64 {
    key.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Keyspace {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, key: &[u8]) -> Option<&Value> {
        self.0.get(&(hash(key), key) as &dyn Placed).map(|place| &place.pair.value)
    }

    /// Puts a value under a key, and returns what stood there before.
    pub fn insert(&mut self, key: Bytes, value: Value) -> Option<Arc<Pair>> {
        let place = Place { hash: hash(&key), pair: Arc::new(Pair { key, value }) };
        self.0.insert(place).map(|before| before.pair)
    }

    pub fn remove(&mut self, key: &[u8]) -> Option<Arc<Pair>> {
        self.0.remove(&(hash(key), key) as &dyn Placed).map(|before| before.pair)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Pair> {
        self.0.iter().map(|place| &*place.pair)
    }

    /// The pairs from a cursor on, at least `count` of them if there are so many, and the cursor behind them; 0 begins,
    /// and 0 behind the last one. Keys that share a hash come together.
    pub fn page(&self, cursor: u64, count: usize) -> (Vec<&Pair>, u64) {
        let mut page = Vec::new();
        let mut last = None;
        let from: (Bound<&dyn Placed>, _) = (Bound::Included(&(cursor, &[][..])), Bound::Unbounded);
        for place in self.0.range::<_, dyn Placed>(from) {
            if page.len() >= count && last != Some(place.hash) {
                return (page, place.hash);
            }
            last = Some(place.hash);
            page.push(&*place.pair);
        }
        (page, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u64) -> Keyspace {
        let mut keys = Keyspace::default();
        for number in 0..count {
            let value = Value { bytes: Bytes::new(), end: None, version: number };
            keys.insert(Bytes::from(number.to_string()), value);
        }
        keys
    }

    #[test]
    fn pages_hold_every_key_once() {
        for (count, size) in [(0, 3), (1, 3), (1000, 1), (1000, 7), (1000, 5000)] {
            let (keys, mut cursor, mut seen) = (filled(count), 0, Vec::new());
            loop {
                let (page, next) = keys.page(cursor, size);
                seen.extend(page.into_iter().map(|pair| pair.value.version));
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_key_has_the_same_place_for_ever() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
