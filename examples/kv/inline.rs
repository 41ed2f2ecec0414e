//! Commands typed by hand, as with telnet: words between blanks, in quotes where they contain some.

use bytes::Bytes;

/// The words of a line. `None` if a quote is not closed, or something sticks to its end.
pub fn words(mut line: &[u8]) -> Option<Vec<Bytes>> {
    let mut words = Vec::new();
    loop {
        line = line.trim_ascii_start();
        if line.is_empty() {
            return Some(words);
        }
        let mut word = Vec::new();
        line = take_word(line, &mut word)?;
        words.push(word.into());
    }
}

/// Takes one word and returns what is left.
fn take_word<'a>(mut line: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        line = match line {
            [] => return Some(line),
            [blank, ..] if blank.is_ascii_whitespace() => return Some(line),
            [quote @ (b'"' | b'\''), rest @ ..] => {
                let rest = take_quoted(rest, *quote, word)?;
                return rest.first().is_none_or(u8::is_ascii_whitespace).then_some(rest);
            }
            [byte, rest @ ..] => {
                word.push(*byte);
                rest
            }
        };
    }
}

/// Takes what stands up to the closing quote. In double quotes a backslash introduces a special character, in single
/// quotes only a quote.
fn take_quoted<'a>(mut line: &'a [u8], quote: u8, word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        line = match line {
            [] => return None,
            [b'\\', b'x', high, low, rest @ ..] if quote == b'"' && hex(*high, *low).is_some() => {
                word.extend(hex(*high, *low));
                rest
            }
            [b'\\', escaped, rest @ ..] if quote == b'"' => {
                word.push(special(*escaped));
                rest
            }
            [b'\\', b'\'', rest @ ..] => {
                word.push(b'\'');
                rest
            }
            [byte, rest @ ..] if *byte == quote => return Some(rest),
            [byte, rest @ ..] => {
                word.push(*byte);
                rest
            }
        };
    }
}

fn special(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_line_is_split_as_redis_splits_it() {
        let table: [(&str, Option<&[&str]>); 12] = [
            ("", Some(&[])),
            (" \r\n", Some(&[])),
            ("get key\r\n", Some(&["get", "key"])),
            ("  set\tk  v\n", Some(&["set", "k", "v"])),
            (r#"set k "a b""#, Some(&["set", "k", "a b"])),
            (r#"set k "a\n\x41\"\q""#, Some(&["set", "k", "a\nA\"q"])),
            (r"set k 'a \n\''", Some(&["set", "k", r"a \n'"])),
            (r#"set k """#, Some(&["set", "k", ""])),
            (r#"set k "a"b"#, None),
            (r#"set k "a"#, None),
            (r"set k 'a", None),
            (r#"set k "a\"#, None),
        ];
        for (line, expected) in table {
            let found = words(line.as_bytes());
            let found = found.as_ref().map(|found| found.iter().map(|word| &word[..]).collect::<Vec<_>>());
            let expected = expected.map(|expected| expected.iter().map(|word| word.as_bytes()).collect());
            assert_eq!(found, expected, "{line:?}");
        }
    }
}
