//! Fuzz targets as ordinary tests: every input of a target's corpus, and as many inputs again that are made from them.

use std::{fs, path::PathBuf, time::Duration};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};

/// Inputs made of each corpus, beside those in it: enough to notice what a change broke. The search is the fuzzer's.
const MADE: usize = 2_000;
/// Longest input made.
const LONGEST: usize = 4096;
/// Time from which an input is too slow: the fuzzer allows a second, and a development build on a busy machine has more.
const SLOW: Duration = Duration::from_secs(2);

/// Prints the input at which a target panicked.
struct Running<'a> {
    target: &'a str,
    input: &'a [u8],
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.input.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("{} stopped at {hex}", self.target);
        }
    }
}

/// Feeds `target` with the corpus of this name, and with inputs that are made of it.
#[expect(clippy::disallowed_methods, reason = "real time is what a slow input takes")]
pub(crate) fn replay(name: &str, target: fn(&[u8])) {
    let run = |input: &[u8]| {
        let running = Running { target: name, input };
        let start = std::time::Instant::now();
        target(input);
        assert!(start.elapsed() < SLOW, "{name} took {:?}", start.elapsed());
        drop(running);
    };
    let corpus = read_corpus(name);
    assert!(!corpus.is_empty(), "fuzz/corpus/{name} is empty");
    corpus.iter().for_each(|input| run(input));
    let seed = 20_261_125;
    println!("{name}: {} inputs, {MADE} more from seed {seed}", corpus.len());
    let mut rng = StdRng::seed_from_u64(seed);
    (0..MADE).for_each(|_| run(&make_input(&corpus, &mut rng)));
}

fn read_corpus(name: &str) -> Vec<Vec<u8>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut folders = root.ancestors().map(|place| place.join("fuzz/corpus").join(name));
    let folder = folders.find(|folder| folder.is_dir()).unwrap_or_else(|| panic!("no fuzz/corpus/{name}"));
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// An input with some bytes changed, cut, repeated, or put before those of another.
fn make_input(corpus: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut input = corpus[rng.random_range(0..corpus.len())].clone();
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=input.len());
        let byte = *[0, 1, 0x7f, 0x80, 0xff, rng.next_u32() as u8].get(rng.random_range(0..6)).unwrap();
        match rng.random_range(0..5) {
            0 => input.truncate(at),
            1 if at < input.len() => input[at] = byte,
            2 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
            3 => input.insert(at, byte),
            _ => {
                let other = &corpus[rng.random_range(0..corpus.len())];
                let from = rng.random_range(0..=other.len());
                input.truncate(at);
                input.extend(&other[from..]);
            }
        }
    }
    input.truncate(LONGEST);
    input
}
