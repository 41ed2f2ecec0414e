//! Fuzzing of everything that reads bytes from the network: the corpus, mutated by chance from a seed, so that every run
//! is the same. Any build does, no other compiler is needed.
//!
//! A short run is part of the tests. A long one: `QUORATE_FUZZ_SECONDS=600 cargo test --release -p
//! quorate-transport-tcp --lib fuzz -- --nocapture`. A failure prints the bytes; add them to `corpus/`.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::decoder::Decoder;
use crate::frame::{HEADER_BYTES, Kind, MAGIC};
use crate::hello::{HANDSHAKE_BYTES_MAX, Hello};
use crate::refusal::decode_refusal;

const SHORT_RUNS: u64 = 20_000;
const PAYLOAD_BYTES_MAX: usize = 4_096;
/// What a decoder may hold beyond what it was given.
const SLACK_BYTES: usize = 192 << 10;
const CHECKSUM_AT: usize = 28;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &Path| (path.file_name().unwrap().to_string_lossy().into(), fs::read(path).unwrap());
    files.iter().map(|path| read(path)).collect()
}

/// One change somewhere.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    const WORTHWHILE: [u32; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    let at = chance.below(bytes.len());
    let rest = bytes.len() - at;
    match chance.below(7) {
        0 if rest > 0 => bytes[at] ^= 1 << chance.below(8),
        1 if rest > 0 => bytes[at] = chance.next() as u8,
        2 if rest >= 4 => {
            let number = WORTHWHILE[chance.below(WORTHWHILE.len())];
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..at + chance.below(rest.min(64)))),
        5 => {
            let again = bytes[at..at + chance.below(rest.min(256))].to_vec();
            let to = chance.below(bytes.len());
            bytes.splice(to..to, again);
        }
        _ => bytes.extend_from_slice(&other[chance.below(other.len())..]),
    }
}

/// Makes the checksums right again, as far as frames can be told apart: so that what is behind them is reached.
fn seal(bytes: &mut [u8]) {
    let mut rest = bytes;
    while rest.len() >= HEADER_BYTES && rest[..2] == MAGIC {
        let number = |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let payload = number(8) as usize + number(12) as usize;
        let end = HEADER_BYTES.saturating_add(payload).min(rest.len());
        let checksum = crc32c::crc32c(&rest[HEADER_BYTES..end]);
        rest[24..CHECKSUM_AT].copy_from_slice(&checksum.to_le_bytes());
        let checksum = crc32c::crc32c(&rest[..CHECKSUM_AT]);
        rest[CHECKSUM_AT..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
        rest = &mut rest[end..];
    }
}

/// Reads a stream as a connection would. Returns how many frames came out of it.
fn read(bytes: &[u8], cut: usize) -> usize {
    let (mut decoder, mut frames) = (Decoder::new(HANDSHAKE_BYTES_MAX), 0);
    for piece in bytes.chunks(cut.max(1)) {
        decoder.feed(piece);
        assert!(decoder.capacity() <= bytes.len() + SLACK_BYTES, "it holds {} bytes", decoder.capacity());
        loop {
            let Ok(next) = decoder.next() else { return frames };
            let Some((kind, frame)) = next else { break };
            assert!(frame.len() <= PAYLOAD_BYTES_MAX);
            frames += 1;
            match kind {
                Kind::Hello => {
                    let Ok(hello) = Hello::decode(&frame.head) else { return frames };
                    assert_eq!(Hello::decode(&hello.encode()).as_ref(), Ok(&hello));
                    let _ = hello.agree(&hello);
                    decoder.agree(1, PAYLOAD_BYTES_MAX);
                }
                Kind::Refusal => {
                    let refusal = decode_refusal(&frame.head);
                    assert!(refusal.is_err() || refusal.is_ok_and(|(_, words)| !words.contains('\n')));
                }
                _ => {}
            }
        }
    }
    frames
}

#[test]
fn the_corpus_is_read_as_it_was_meant() {
    let frames: Vec<_> = corpus().iter().map(|(name, bytes)| format!("{name} {}", read(bytes, 7))).collect();
    let expected = [
        "answered.bin 3",
        "bulk.bin 3",
        "http.txt 0",
        "longest.bin 2",
        "newer.bin 2",
        "other-group.bin 3",
        "proven.bin 1", // its proof is of no version, after a hello that here counts as the end of the handshake
        "refused.bin 1",
        "session.bin 6",
        "tls.bin 0",
    ];
    assert_eq!(frames, expected);
}

#[test]
fn no_mutation_of_the_corpus_does_harm() {
    let corpus = corpus();
    let seconds = std::env::var("QUORATE_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let (begin, long) = (Instant::now(), seconds.map(Duration::from_secs));
    let (mut runs, mut frames, mut chance) = (0_u64, 0_u64, Chance(0));
    while long.map_or(runs < SHORT_RUNS, |long| begin.elapsed() < long) {
        chance.0 = runs; // so that a run is known by its number
        let mut bytes = corpus[chance.below(corpus.len())].1.clone();
        let other = &corpus[chance.below(corpus.len())].1;
        for _ in 0..=chance.below(6) {
            mutate(&mut bytes, other, &mut chance);
        }
        if !chance.next().is_multiple_of(4) {
            seal(&mut bytes);
        }
        let cut = [1, 31, 1_000, usize::MAX][chance.below(4)];
        match catch_unwind(AssertUnwindSafe(|| read(&bytes, cut))) {
            Ok(read) => frames += read as u64,
            Err(panic) => {
                println!("run {runs}, cut at {cut}: {bytes:02x?}");
                resume_unwind(panic);
            }
        }
        runs += 1;
    }
    println!("{runs} runs, {frames} frames read, {} s", begin.elapsed().as_secs());
    assert!(frames > runs / 4, "mutations that are all refused at once test little");
}
