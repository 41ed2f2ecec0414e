//! `kv admin`: says what an operator wants to a member that serves, as `redis-cli ADMIN ...` would, and shows the answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::options::{AdminOptions, Errand};

/// The longest answer believed.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Asks, and prints the answer.
///
/// # Errors
/// A sentence that says what is wrong, and what to do.
pub fn run(options: &AdminOptions) -> Result<(), String> {
    let answer = ask(&options.client, &words(&options.errand)).map_err(|error| {
        format!(
            "no member answers at {}: {error}; name with --client where a member that runs serves its clients",
            options.client
        )
    })?;
    let text = answer?;
    print!("{text}");
    if !text.ends_with('\n') {
        println!();
    }
    Ok(())
}

fn words(errand: &Errand) -> Vec<String> {
    let words = match errand {
        Errand::Members => vec!["MEMBERS".to_owned()],
        Errand::Status => vec!["STATUS".to_owned()],
        Errand::Add { id, address } => vec!["ADD".to_owned(), id.to_string(), address.clone()],
        Errand::Promote { id } => vec!["PROMOTE".to_owned(), id.to_string()],
        Errand::Remove { id } => vec!["REMOVE".to_owned(), id.to_string()],
        Errand::Address { id, address } => vec!["ADDRESS".to_owned(), id.to_string(), address.clone()],
        Errand::Snapshot => vec!["SNAPSHOT".to_owned()],
        Errand::Transfer { id } => {
            ["TRANSFER".to_owned()].into_iter().chain(id.map(|id| id.to_string())).collect()
        }
    };
    ["ADMIN".to_owned()].into_iter().chain(words).collect()
}

/// One command and its answer, or the error that the answer is.
fn ask(address: &str, words: &[String]) -> io::Result<Result<String, String>> {
    let mut stream = TcpStream::connect(address)?;
    let mut request = format!("*{}\r\n", words.len());
    request.extend(words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())));
    stream.write_all(request.as_bytes())?;
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    answer.by_ref().take(ANSWER_BYTES_MAX as u64).read_line(&mut line)?;
    let rest = line.get(1..).unwrap_or_default().trim_end();
    match line.bytes().next() {
        Some(b'+') => Ok(Ok(rest.to_owned())),
        Some(b'-') => Ok(Err(rest.to_owned())),
        Some(b'$') => {
            let length = rest.parse().ok().filter(|length| *length <= ANSWER_BYTES_MAX);
            let mut text = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
            answer.read_exact(&mut text)?;
            Ok(Ok(String::from_utf8_lossy(&text).into_owned()))
        }
        None => Err(io::ErrorKind::UnexpectedEof.into()),
        Some(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}
