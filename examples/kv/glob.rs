//! The patterns of KEYS: `*`, `?`, `[a-z]`, `[^a]`, and `\` before a character that is to be taken as it is.

/// Whether all of `text` matches `pattern`. The work is at most the product of their lengths, whatever the pattern:
/// if a star took too little, only the last star has to be tried again.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut from) = (pattern, 0);
    let mut last_star: Option<(&[u8], usize)> = None;
    loop {
        if let [b'*', after @ ..] = rest {
            last_star = Some((after, from));
            rest = after;
            continue;
        }
        match text.get(from) {
            None if rest.is_empty() => return true,
            None => return false,
            Some(&byte) => {
                if let Some(after) = match_one(rest, byte) {
                    (rest, from) = (after, from + 1);
                } else if let Some((after, taken)) = last_star {
                    last_star = Some((after, taken + 1));
                    (rest, from) = (after, taken + 1);
                } else {
                    return false;
                }
            }
        }
    }
}

/// What is left of the pattern if its first element, which is not a star, matches the byte.
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', class @ ..] => match_class(class, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
        [] => None,
    }
}

/// The same for a class in brackets, of which the first is gone already. A class that is not closed ends with the
/// pattern.
fn match_class(class: &[u8], byte: u8) -> Option<&[u8]> {
    let (negated, mut class) = match class {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut found = false;
    loop {
        class = match class {
            [] => return (found != negated).then_some(class),
            [b']', rest @ ..] => return (found != negated).then_some(rest),
            [b'\\', literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
            [one, b'-', other, rest @ ..] => {
                found |= (*one.min(other)..=*one.max(other)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_redis() {
        let table: [(&str, &str, bool); 24] = [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("*b", "abc", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("*ab", "aab", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            (r"\*", "*", true),
            (r"\*", "a", false),
            (r"[\]]", "]", true),
            ("[a", "a", true),
            (r"a\", r"a\", true),
            ("**a**", "bab", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn many_stars_do_not_take_forever() {
        let (pattern, text) = ("a*".repeat(100) + "b", "a".repeat(10_000));
        assert!(!matches(pattern.as_bytes(), text.as_bytes()));
    }
}
