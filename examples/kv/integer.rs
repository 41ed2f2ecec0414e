//! Integers as Redis reads them: digits and nothing else, in the one form in which they are written.

/// The integer that `bytes` spell out. Neither blanks, nor a plus sign, nor leading zeros, nor `-0` are allowed, so that
/// every integer has exactly one spelling.
pub fn parse(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let canonical = match digits {
        [b'0'] => bytes.len() == 1,
        [first, ..] => (b'1'..=b'9').contains(first),
        [] => false,
    };
    if !canonical {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_has_one_spelling() {
        for good in [0, 7, -7, 10, i64::MAX, i64::MIN] {
            assert_eq!(parse(good.to_string().as_bytes()), Some(good));
        }
        let bad =
            ["", "-", "+1", " 1", "1 ", "01", "-0", "-01", "1.0", "1a", "9223372036854775808", "\u{661}"];
        for bad in bad {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
