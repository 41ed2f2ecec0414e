//! [`Keyspace`]: every key with its value, in an order that is the same on every replica, so that SCAN can go on where it
//! left off, through whichever member.

use bytes::Bytes;
use imbl::OrdMap;
use quorate::LogTime;

/// Keys and values, ordered by a hash of the key. Cloning is cheap: the tree is shared until one side changes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Keyspace(OrdMap<Place, Value>);

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

/// Where a key stands. Should hashes collide, by chance or by malice, the keys' own order decides: slower, never wrong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    hash: u64,
    key: Bytes,
}

impl Place {
    fn of(key: &Bytes) -> Self {
        Self { hash: hash(key), key: key.clone() }
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

    pub fn get(&self, key: &Bytes) -> Option<&Value> {
        self.0.get(&Place::of(key))
    }

    /// Puts a value under a key, and returns the one before.
    pub fn insert(&mut self, key: &Bytes, value: Value) -> Option<Value> {
        self.0.insert(Place::of(key), value)
    }

    pub fn remove(&mut self, key: &Bytes) -> Option<Value> {
        self.0.remove(&Place::of(key))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Value)> {
        self.0.iter().map(|(place, value)| (&place.key, value))
    }

    /// The keys from a cursor on, at least `count` of them if there are so many, and the cursor behind them; 0 begins,
    /// and 0 behind the last one. Keys that share a hash come together.
    pub fn page(&self, cursor: u64, count: usize) -> (Vec<(&Bytes, &Value)>, u64) {
        let mut page: Vec<(&Bytes, &Value)> = Vec::new();
        let mut last = None;
        for (place, value) in self.0.range(Place { hash: cursor, key: Bytes::new() }..) {
            if page.len() >= count && last != Some(place.hash) {
                return (page, place.hash);
            }
            last = Some(place.hash);
            page.push((&place.key, value));
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
            keys.insert(&Bytes::from(number.to_string()), value);
        }
        keys
    }

    #[test]
    fn pages_hold_every_key_once() {
        for (count, size) in [(0, 3), (1, 3), (1000, 1), (1000, 7), (1000, 5000)] {
            let (keys, mut cursor, mut seen) = (filled(count), 0, Vec::new());
            loop {
                let (page, next) = keys.page(cursor, size);
                seen.extend(page.into_iter().map(|(_, value)| value.version));
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
