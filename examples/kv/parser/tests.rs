//! What the parser makes of bytes, whole, in pieces, and broken.

use bytes::{BufMut, Bytes, BytesMut};

use super::{HEAD_BYTES_MAX, LINE_BYTES_MAX, Parser};

/// What becomes of bytes that arrive all at once: the commands in them, and the error behind them if there is one.
fn parse(bytes: &[u8]) -> (Vec<Vec<Bytes>>, Option<String>) {
    parse_in_pieces(bytes, bytes.len().max(1))
}

fn parse_in_pieces(bytes: &[u8], piece: usize) -> (Vec<Vec<Bytes>>, Option<String>) {
    let mut parser = Parser::new(1 << 20);
    let (mut input, mut words, mut commands) = (BytesMut::new(), Vec::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        input.put_slice(piece);
        loop {
            match parser.next(&mut input, &mut words) {
                Ok(true) => commands.push(words.clone()),
                Ok(false) => break,
                Err(error) => return (commands, Some(error.to_string())),
            }
        }
    }
    (commands, None)
}

#[test]
fn commands_are_the_same_in_whatever_pieces_they_arrive() {
    let bytes = b"*2\r\n$3\r\nGET\r\n$5\r\na\r\nbc\r\nPING\r\n\r\n*0\r\n*-1\r\n*1\r\n$0\r\n\r\nset k 'a b'\r\n*1\r\n$1\r\nx\r\n";
    let expected: Vec<Vec<&[u8]>> =
        vec![vec![b"GET", b"a\r\nbc"], vec![b"PING"], vec![b""], vec![b"set", b"k", b"a b"], vec![b"x"]];
    for piece in [1, 2, 3, 7, bytes.len()] {
        let (commands, error) = parse_in_pieces(bytes, piece);
        assert_eq!(error, None);
        assert_eq!(commands, expected);
    }
}

#[test]
fn what_is_not_the_protocol_is_named() {
    let long_line = "x".repeat(LINE_BYTES_MAX);
    let long_head = format!("*{}", "1".repeat(HEAD_BYTES_MAX));
    let long_length = format!("*1\r\n${}", "1".repeat(HEAD_BYTES_MAX));
    let table: [(&str, &str); 13] = [
        ("*x\r\n", "invalid multibulk length"),
        ("*1048577\r\n", "invalid multibulk length"),
        ("*99999999999999999999\r\n", "invalid multibulk length"),
        (&long_head, "too big mbulk count string"),
        ("*1\r\n*1\r\n", "expected '$', got '*'"),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*1\r\n\r\n", "expected '$', got '\\r'"),
        ("*1\r\n$x\r\n", "invalid bulk length"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
        (&long_length, "too big bulk count string"),
        (&long_line, "too big inline request"),
        ("set k 'a\r\n", "unbalanced quotes in request"),
    ];
    for (bytes, expected) in table {
        let (commands, error) = parse(bytes.as_bytes());
        assert_eq!(error, Some(format!("ERR Protocol error: {expected}")), "{bytes:.40}");
        assert!(commands.is_empty());
    }
}

#[test]
fn a_command_beyond_the_limit_is_refused_before_it_is_stored() {
    let (_, error) = parse(b"*2\r\n$3\r\nGET\r\n$999999999999\r\n");
    assert_eq!(error.as_deref(), Some("ERR Protocol error: invalid bulk length"));
    let mut bytes = b"*2\r\n$3\r\nGET\r\n$1048576\r\n".to_vec();
    assert_eq!(parse(&bytes), (vec![], None));
    bytes.resize((1 << 20) + 1, b'x');
    let (_, error) = parse_in_pieces(&bytes, 1 << 16);
    assert_eq!(error.as_deref(), Some("ERR Protocol error: a command is limited to 1048576 bytes"));
}

#[test]
fn no_bytes_make_it_panic() {
    // A fixed sequence of pseudo-random bytes, drawn from those that mean something.
    let alphabet = b"*$:-+0123 9\r\n\"'\\xGETset";
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..next() % 64).map(|_| alphabet[next() % alphabet.len()]).collect();
        let whole = parse(&bytes);
        assert_eq!(parse_in_pieces(&bytes, 1).0, whole.0, "{:?}", bytes.escape_ascii().to_string());
    }
    let nested = b"*1\r\n".repeat(100_000);
    assert!(parse(&nested).1.is_some());
}
