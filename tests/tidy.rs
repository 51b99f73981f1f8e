//! The rules of the house that a machine can check, each beside a snippet that breaks it. Lints check the others.

mod imports;
mod ownership;
mod page;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of what is told the time and the dice. Its manifest keeps runtimes and formats out of reach.
const CORE: &str = "src/core/";
/// Names that are forbidden in it: sockets, files, the environment.
const IMPURE: &[&str] =
    &["tokio", "UdpSocket", "TcpStream", "TcpListener", "UnixStream", "UnixListener", "fs", "env"];
/// Clocks.
const CLOCKS: &[&str] = &["Instant::now", "SystemTime::now", "Utc::now", "Timestamp::now", "Zoned::now"];
/// The API shows snapshots and sends commands; it knows nothing of how they come about.
const BELOW_HTTP: &[&str] = &["gossip", "foca", "transport"];
/// A provider returns addresses and how long they hold, nothing else.
const ABOVE_PROVIDERS: &[&str] = &["chronik_agent", "NodeId", "Membership", "Quorum"];
/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "common", "types", "handlers", "misc", "mod"];
/// Lines of a file that is read in a sitting.
const MAX_LINES: usize = 400;
/// Lines of a file that holds one type which is easier to read in one place.
const MAX_LINES_OF_A_TYPE: usize = 500;
/// Such files.
const ONE_TYPE: &[&str] = &[
    "src/core/bootstrap.rs",
    "src/core/bootstrap/reason.rs",
    "src/core/gossip/course.rs",
    "src/core/gossip/detector.rs",
    "src/core/gossip/link.rs",
    "src/core/gossip/parts.rs",
    "src/core/gossip/roster.rs",
    "src/core/machine.rs",
    "src/host/agent/core.rs",
];
/// Files over which the inherent implementations of one type may be spread.
const MOST_FILES: usize = 2;
/// Fields of a struct.
const MOST_FIELDS: usize = 16;
/// Plain data, which may have more: each field is a flag, a setting or a column for readers.
const PLAIN_DATA: &[&str] = &["Draft", "Member", "Myself", "Settings"];
/// The parts of the machines, by file and name: what others know of one they ask it for.
const PARTS: &[(&str, &str)] = &[
    ("src/core/gossip/engine.rs", "Engine"),
    ("src/core/gossip/roster.rs", "Roster"),
    ("src/core/gossip/roster/entries.rs", "Entries"),
    ("src/core/gossip/detector.rs", "Detector"),
    ("src/core/gossip/detector/accusers.rs", "Accusers"),
    ("src/core/gossip/detector/checks.rs", "Checks"),
    ("src/core/gossip/detector/health.rs", "Health"),
    ("src/core/gossip/detector/probe.rs", "Probes"),
    ("src/core/gossip/detector/trouble.rs", "Trouble"),
    ("src/core/gossip/partition.rs", "Partition"),
    ("src/core/gossip/joining.rs", "Joining"),
    ("src/core/gossip/comparing.rs", "Comparing"),
    ("src/core/gossip/link.rs", "Link"),
    ("src/core/gossip/keyrings.rs", "Keyrings"),
    ("src/core/gossip/clock.rs", "Clock"),
    ("src/core/gossip/coordinates.rs", "Coordinates"),
    ("src/core/admission.rs", "Admission"),
    ("src/core/admission/times.rs", "Times"),
    ("src/core/machine.rs", "Machine"),
    ("src/core/machine/review.rs", "Review"),
    ("src/core/machine/saving.rs", "Start"),
    ("src/core/machine/server.rs", "ServerBeside"),
    ("src/core/bootstrap.rs", "Bootstrap"),
    ("src/core/bootstrap/agreement.rs", "Agreement"),
    ("src/core/bootstrap/campaign.rs", "Campaign"),
    ("src/core/bootstrap/outbox.rs", "Outbox"),
    ("src/core/bootstrap/pace.rs", "Pace"),
    ("src/core/bootstrap/situation.rs", "Situation"),
    ("src/host/agent/core.rs", "Core"),
];
/// Beginnings of comments that leave their noun for later.
const QUESTIONS: &[&str] = &[
    "What ",
    "Whether ",
    "How ",
    "Where ",
    "Who ",
    "Whose ",
    "Whoever ",
    "Which ",
    "So many ",
    "So much ",
    "Of those ",
    "Those who ",
    "The same ",
];
/// Where a thread of the tests may sleep, and why.
const MAY_SLEEP: &[(&str, &str)] = &[("tests/awaiting.rs", "between two looks, with a bound")];

/// Attributes of what is built for tests and fuzzers alone.
const TEST_ATTRIBUTES: [&str; 2] = ["#[cfg(test)]", "#[cfg(any(test, fuzzing))]"];
/// Crates of which no file imports itself by way of others, by the folder of their `lib.rs`.
const WITHOUT_CIRCLES: &[&str] = &["providers/src", "src/core", "src"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of ours with this ending, as a path from the root, with its text.
fn files(ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["src", "tests", "providers", "benches", "examples"]
        .iter()
        .map(|folder| root().join(folder))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let hidden = path.file_name().unwrap().to_string_lossy().starts_with('.');
            if path.is_dir() && !hidden {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The files but for those that are `#[cfg(test)] mod NAME;` somewhere, and what is below those.
fn without_test_modules(mut files: Vec<(String, String)>) -> Vec<(String, String)> {
    let tests: Vec<String> = files.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let below = |path: &str, test: &str| {
        path.strip_prefix(test).is_some_and(|rest| [".rs", "/"].iter().any(|next| rest.starts_with(next)))
    };
    files.retain(|(path, _)| !tests.iter().any(|test| below(path, test)));
    files
}

/// Where the modules are that `text` declares for tests alone, without `.rs`.
fn test_modules(path: &str, text: &str) -> Vec<String> {
    let folder = path.trim_end_matches(".rs").trim_end_matches("/lib");
    let mut lines = text.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if TEST_ATTRIBUTES.contains(&line) {
            let declaration = lines.find(|line| !line.starts_with("#["));
            let name = declaration.and_then(|line| line.split_once("mod ")?.1.strip_suffix(';'));
            found.extend(name.map(|name| format!("{folder}/{name}")));
        }
    }
    found
}

/// The text without comments and without what stands in quotes; lines stay where they are.
fn code(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if next == '"' {
            quoted(rest)
        } else if rest.starts_with("r\"") || rest.starts_with("r#") {
            raw(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("'\\") {
            rest[3..].find('\'').map_or(1, |end| end + 4)
        } else {
            0
        };
        if skipped == 0 {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            out.extend(rest[..skipped].chars().filter(|skipped| *skipped == '\n'));
            rest = &rest[skipped..];
        }
    }
    out
}

/// The length of the quotation that `text` begins with.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the raw quotation, or raw identifier, that `text` begins with.
fn raw(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 1 + hashes;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    text[2 + hashes..].find(&end).map_or(text.len(), |at| 2 + hashes + at + end.len())
}

/// What comes before the tests at the end of a file.
fn without_tests(text: &str) -> &str {
    let tests = text
        .match_indices("\n#[cfg(test)]\nmod ")
        .find(|(at, _)| text[at + 1..].lines().nth(1).is_some_and(|declared| declared.contains('{')));
    tests.map_or(text, |(at, _)| &text[..at])
}

/// The words of `forbidden` that stand in the code as words of their own; `env!` is no `env`.
fn words<'a>(text: &str, forbidden: &[&'a str]) -> Vec<&'a str> {
    let code = code(text);
    let stands = |word: &&&str| {
        code.match_indices(**word).any(|(at, _)| {
            let part = |character: char| character.is_alphanumeric() || character == '_';
            let before = code[..at].chars().next_back();
            let after = code[at + word.len()..].chars().next();
            !before.is_some_and(part) && !after.is_some_and(|after| part(after) || after == '!')
        })
    };
    forbidden.iter().filter(stands).copied().collect()
}

fn impure(text: &str) -> Vec<&str> {
    let text = without_tests(text);
    let code = code(text);
    words(text, IMPURE)
        .into_iter()
        .chain(CLOCKS.iter().copied().filter(|clock| code.contains(clock)))
        .collect()
}

fn sleeps(text: &str) -> bool {
    code(text).contains("sleep(")
}

fn has_purpose(text: &str) -> bool {
    text.starts_with("//! ")
}

fn is_longer(text: &str, most: usize) -> bool {
    without_tests(text).lines().count() > most
}

fn is_noun(path: &str) -> bool {
    let name = Path::new(path).file_stem().unwrap().to_string_lossy();
    !EMPTY_NAMES.contains(&name.as_ref())
}

/// Dependencies without a line above that says what for. One that the workspace has says it there.
fn unexplained(manifest: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut dependencies, mut above) = (false, "");
    for line in manifest.lines() {
        if line.starts_with('[') {
            dependencies = line.ends_with("dependencies]");
        } else if dependencies && line.contains('=') && !line.starts_with('#') {
            let in_workspace = line.contains("workspace = true");
            if !in_workspace && !above.starts_with("# ") {
                found.push(line.split([' ', '=', '.']).next().unwrap_or(line));
            }
        }
        above = line;
    }
    found
}

/// The tests of a file: all of it under `tests`, else what stands behind `#[cfg(test)]`.
fn tests_of<'a>(path: &str, text: &'a str) -> &'a str {
    if path.starts_with("src/") || path.contains("/src/") { &text[without_tests(text).len()..] } else { text }
}

fn is_source(path: &str) -> bool {
    ["src/", "providers/src/", "examples/"].iter().any(|folder| path.starts_with(folder))
}

#[track_caller]
fn none(found: Vec<String>, rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn the_core_knows_no_runtime_no_socket_no_file_no_environment_and_no_clock() {
    let files = without_test_modules(files(".rs")).into_iter().filter(|(path, _)| path.starts_with(CORE));
    let found = files.flat_map(|(path, text)| {
        impure(&text).into_iter().map(|word| format!("{path}: {word}")).collect::<Vec<_>>()
    });
    none(found.collect(), "told the time and the dice, and nothing else");
    assert_eq!(impure("use std::{fs, net::UdpSocket};"), ["UdpSocket", "fs"]);
    assert_eq!(
        impure("fn f() { tokio::spawn(x); let t = std::time::Instant::now(); }"),
        ["tokio", "Instant::now"]
    );
    assert_eq!(
        impure("// tokio\nconst A: &str = env!(\"fs\");\n#[cfg(test)]\nmod tests { use std::fs; }"),
        [""; 0]
    );
}

#[test]
fn the_api_knows_no_gossip() {
    let files =
        without_test_modules(files(".rs")).into_iter().filter(|(path, _)| path.starts_with("src/http"));
    let found = files.filter(|(_, text)| !words(without_tests(text), BELOW_HTTP).is_empty());
    none(found.map(|(path, _)| path).collect(), "http shows snapshots");
    assert_eq!(words("use crate::{api, gossip::Peer};", BELOW_HTTP), ["gossip"]);
    assert_eq!(words("use crate::config::gossip_addr; // gossip", BELOW_HTTP), [""; 0]);
}

#[test]
fn providers_know_no_node_no_cluster_and_no_quorum() {
    let files = files(".rs").into_iter().filter(|(path, _)| path.starts_with("providers/src/"));
    let found = files.filter(|(_, text)| !words(text, ABOVE_PROVIDERS).is_empty());
    none(found.map(|(path, _)| path).collect(), "a provider returns addresses");
    assert_eq!(words("use chronik_agent::node;", ABOVE_PROVIDERS), ["chronik_agent"]);
}

#[test]
fn no_file_imports_itself_by_way_of_others() {
    let files = without_test_modules(files(".rs"));
    let found = WITHOUT_CIRCLES.iter().flat_map(|folder| imports::circles(folder, &files));
    none(found.collect(), "imports point downwards: what both need belongs into a file below both");
    let [a, b] = [("x/a.rs", "use crate::b::B;"), ("x/b.rs", "use super::a::A;")]
        .map(|(path, text)| (path.to_owned(), text.to_owned()));
    assert_eq!(imports::circles("x", &[a, b]), ["x/a.rs imports x/b.rs; x/b.rs imports x/a.rs"]);
}

/// Files of `src` that are no tests.
fn sources() -> Vec<(String, String)> {
    without_test_modules(files(".rs")).into_iter().filter(|(path, _)| path.starts_with("src/")).collect()
}

#[test]
fn a_type_stands_in_two_files_at_most_and_has_sixteen_fields_at_most() {
    let files = sources();
    none(ownership::spread(&files, MOST_FILES), "the type is too large, not the file: cut it into owners");
    none(ownership::large(&files, MOST_FIELDS, PLAIN_DATA), "group the fields that change together");
}

#[test]
fn nobody_reaches_into_a_part() {
    none(ownership::reachable(&sources(), PARTS), "a part has private fields, and answers questions");
}

#[test]
fn the_page_names_every_room_and_imports_point_down_its_floors() {
    let page = fs::read_to_string(root().join("src/ARCHITECTURE.md")).unwrap();
    let all = files(".rs").into_iter().map(|(path, _)| path).filter(|path| path.starts_with("src/"));
    none(page::differences(&page, &all.collect::<Vec<_>>()), "src/ARCHITECTURE.md and src differ");
    none(
        page::upward(&page::floors(&page), &sources()),
        "imports point down the floors of src/ARCHITECTURE.md",
    );
}

#[test]
fn a_file_says_first_what_it_is_for() {
    let found = files(".rs").into_iter().filter(|(_, text)| !has_purpose(text));
    none(found.map(|(path, _)| path).collect(), "the first line of a file begins with `//! `");
    assert!(!has_purpose("use std::fs;\n//! Late."));
}

/// The comments of a file that begin with a question.
fn questions(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut is_begun = false;
    for line in text.lines().map(str::trim_start) {
        let comment = ["//! ", "/// ", "// "].iter().find_map(|mark| line.strip_prefix(mark));
        let begins = comment.filter(|_| !is_begun);
        found.extend(begins.filter(|text| QUESTIONS.iter().any(|question| text.starts_with(question))));
        is_begun = comment.is_some_and(|text| !text.ends_with('.'));
    }
    found
}

/// The help texts of commands are comments of `src/cli`, and may ask.
#[test]
fn a_comment_begins_with_its_noun() {
    let files = files(".rs").into_iter().filter(|(path, _)| is_source(path) && !path.starts_with("src/cli"));
    let found = files.flat_map(|(path, text)| {
        questions(&text).into_iter().map(|comment| format!("{path}: {comment}")).collect::<Vec<_>>()
    });
    none(found.collect(), "say first of which thing the comment speaks");
    assert_eq!(questions("/// What it is.\n//! Name\n//! Where it is.\n let x = 1; // Who"), ["What it is."]);
}

#[test]
fn a_file_is_read_in_a_sitting() {
    let files = without_test_modules(files(".rs")).into_iter().filter(|(path, _)| is_source(path));
    let most = |path: &str| if ONE_TYPE.contains(&path) { MAX_LINES_OF_A_TYPE } else { MAX_LINES };
    let found = files.filter(|(path, text)| is_longer(text, most(path)));
    none(found.map(|(path, _)| path).collect(), "a file has 400 lines at most, without its tests");
    let too_long = |text: &str| is_longer(text, MAX_LINES);
    let long = "let x = 1;\n".repeat(MAX_LINES);
    assert!(!too_long(&long) && too_long(&format!("{long}{long}")));
    assert!(!too_long(&format!("{long}\n#[cfg(test)]\nmod tests {{\n{long}}}")));
    assert!(too_long(&format!("\n#[cfg(test)]\nmod tests;\n{long}{long}")));
    assert_eq!(test_modules("src/a.rs", "#[cfg(test)]\nmod b;\nmod c;"), ["src/a/b"]);
    let hidden = "#[cfg(any(test, fuzzing))]\n#[doc(hidden)]\npub mod b;";
    assert_eq!(test_modules("src/lib.rs", hidden), ["src/b"]);
}

#[test]
fn a_file_is_a_noun() {
    let found = files(".rs").into_iter().filter(|(path, _)| !is_noun(path));
    none(found.map(|(path, _)| path).collect(), "a file is named for what is inside");
    assert!(!is_noun("src/utils.rs") && !is_noun("src/gossip/mod.rs") && is_noun("src/mode.rs"));
}

#[test]
fn tests_wait_on_the_thing_itself() {
    let files = files(".rs").into_iter();
    let may = |path: &str| MAY_SLEEP.iter().any(|(allowed, _)| *allowed == path);
    let found = files.filter(|(path, text)| !may(path) && sleeps(tests_of(path, text)));
    none(found.map(|(path, _)| path).collect(), "a test waits with `awaiting::within`");
    assert!(sleeps("thread::sleep(SECOND);") && sleeps("tokio::time::sleep(x).await"));
    assert!(!sleeps("// no sleep(\nlet asleep = \"sleep(\";"));
}

#[test]
fn a_dependency_says_what_for() {
    let manifests = files("Cargo.toml");
    let own = [("Cargo.toml".to_owned(), fs::read_to_string(root().join("Cargo.toml")).unwrap())];
    let found = own.into_iter().chain(manifests).flat_map(|(path, text)| {
        unexplained(&text).into_iter().map(|name| format!("{path}: {name}")).collect::<Vec<_>>()
    });
    none(found.collect(), "the line above a dependency says what for");
    assert_eq!(unexplained("[dependencies]\n# For x.\na = \"1\"\nb = \"1\"\n[features]\nc = []"), ["b"]);
    assert_eq!(unexplained("[dev-dependencies]\na.workspace = true\n\nb = { version = \"1\" }"), ["b"]);
}

/// What a page in the comments names as `file::test`, and where no such test is.
fn tests_that_are_not_there(page: &str, text_of: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let quoted = page.split('`').skip(1).step_by(2);
    let is_there = |name: &str| {
        let Some((file, test)) = name.rsplit_once("::") else { return false };
        let declared = format!("#[test]\nfn {test}() {{");
        text_of(&file.replace("::", "/")).is_some_and(|text| text.contains(&declared))
    };
    quoted.filter(|name| !is_there(name)).map(str::to_owned).collect()
}

#[test]
fn every_pitfall_has_the_tests_that_its_table_names() {
    let text_of = |file: &str| fs::read_to_string(root().join(format!("tests/{file}.rs"))).ok();
    let guards = text_of("guards").unwrap();
    let lines: Vec<_> = guards.lines().take_while(|line| line.starts_with("//!")).collect();
    let rows: Vec<_> = lines.into_iter().filter(|line| line.contains('`')).collect();
    assert_eq!(rows.len(), 10, "ten pitfalls");
    none(tests_that_are_not_there(&rows.concat(), text_of), "a pitfall has a test");
    let one = |_: &str| Some("#[test]\nfn it_holds() {\n}".to_owned());
    assert_eq!(tests_that_are_not_there("`a::it_holds`, `a::it_breaks`, `b`", one), ["a::it_breaks", "b"]);
}

/// The parts of `tests/nightly` that have no row on the page.
fn without_row<'a>(script: &'a str, page: &str) -> Vec<&'a str> {
    let parts = script.lines().find_map(|line| line.strip_prefix("parts=(")?.strip_suffix(')'));
    let has_row = |part: &str| page.lines().any(|line| line.starts_with(&format!("| `{part}` |")));
    parts.unwrap().split(' ').filter(|part| !has_row(part)).collect()
}

#[test]
fn every_part_of_the_nightly_run_has_its_last_result_on_the_page() {
    let read = |file| fs::read_to_string(root().join(file)).unwrap();
    let (script, page) = (read("tests/nightly"), read("docs/nightly.md"));
    let found = without_row(&script, &page).into_iter().map(str::to_owned);
    none(found.collect(), "`tests/nightly PART` writes its row");
    assert_eq!(without_row("x\nparts=(a b)\n", "| `a` | x |"), ["b"]);
}

#[test]
fn comments_and_quotations_are_no_code() {
    assert_eq!(code("a /* b\n */ c // d\ne"), "a \n c \ne");
    assert_eq!(code(r##"f("a\"b", r#"c"d"#, '"', '\'', 'x')"##), "f(, , , , 'x')");
}
