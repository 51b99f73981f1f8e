//! The page about the house, `src/ARCHITECTURE.md`, held against the tree: its rooms, and its floors.

use std::collections::BTreeSet;

use super::{code, without_tests};

/// The rooms that the page names and that are not there, and those that are there and that it does not name. A room is a
/// file of `src` without its ending; a name in backquotes may stand for several, `a/{b,c}`.
pub(super) fn differences(page: &str, files: &[String]) -> Vec<String> {
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let first_cells = rows.filter_map(|row| row.split('|').nth(1));
    let named = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let named: BTreeSet<_> = named.flat_map(expand).filter(|name| is_room(name)).collect();
    let there: BTreeSet<_> =
        files.iter().map(|file| file.trim_start_matches("src/").trim_end_matches(".rs").to_owned()).collect();
    let missing = named.difference(&there).map(|room| format!("{room} is named and not there"));
    let unnamed = there.difference(&named).map(|room| format!("{room} is there and not named"));
    missing.chain(unnamed).collect()
}

fn is_room(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || "_/".contains(letter))
}

fn expand(name: &str) -> Vec<String> {
    match name.split_once('{') {
        Some((before, rest)) => {
            rest.trim_end_matches('}').split(',').map(|one| format!("{before}{one}")).collect()
        }
        None => vec![name.to_owned()],
    }
}

/// The modules of each floor, from the top.
pub(super) fn floors(page: &str) -> Vec<Vec<&str>> {
    let block = page.split("## The floors").nth(1).and_then(|rest| rest.split("```").nth(1)).unwrap_or("");
    let lines = block.lines().skip(1).filter(|line| !line.starts_with('-'));
    lines.map(|line| line.split_whitespace().collect()).collect()
}

/// The imports that do not point down: from a module to one of its own floor or of a floor above, or to one that no floor
/// has. A file belongs to the module of its folder.
pub(super) fn upward(floors: &[Vec<&str>], files: &[(String, String)]) -> Vec<String> {
    let floor = |module: &str| floors.iter().position(|floor| floor.contains(&module));
    let mut found = Vec::new();
    for (path, text) in files {
        let Some(module) = module(path) else { continue };
        let Some(here) = floor(module) else {
            found.push(format!("{path}: {module} stands on no floor"));
            continue;
        };
        for imported in imported(text).into_iter().filter(|imported| *imported != module) {
            if floor(&imported).is_none_or(|there| there <= here) {
                found.push(format!("{path} imports {imported}, which is not below {module}"));
            }
        }
    }
    found
}

/// The module to which a file belongs; none for the roots of crates.
fn module(path: &str) -> Option<&str> {
    let below = path.trim_start_matches("src/").trim_start_matches("core/").trim_start_matches("host/");
    let module = below.trim_end_matches(".rs").split('/').next()?;
    (!["lib", "host", "fuzzing"].contains(&module)).then_some(module)
}

/// The modules of the crate that a file imports.
fn imported(text: &str) -> BTreeSet<String> {
    let code = code(without_tests(text));
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let mut depth = 0_i32;
        let mut name = String::new();
        let mut is_start = true;
        for letter in rest.chars() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ if is_start && (letter.is_alphanumeric() || letter == '_') => name.push(letter),
                _ => {}
            }
            let ends_name =
                !(letter.is_alphanumeric() || letter == '_' || letter.is_whitespace() || letter == '{');
            if ends_name && is_start && !name.is_empty() {
                found.insert(std::mem::take(&mut name));
                is_start = false;
            }
            if letter == ',' && depth == 1 {
                is_start = true;
            }
            if depth <= 0 && (letter == ';' || letter == '}' || !is_start) {
                break;
            }
        }
    }
    found
}

#[test]
fn a_room_that_is_gone_and_one_that_is_new_are_found() {
    let page = "| `a`, `b/{c,d}` | the `e` |\n`f`";
    let files = ["src/a.rs", "src/b/c.rs", "src/g.rs"].map(str::to_owned);
    assert_eq!(differences(page, &files), ["b/d is named and not there", "g is there and not named"]);
}

#[test]
fn an_import_that_points_up_or_sideways_is_found() {
    let page = "## The floors\nx\n```text\na b\n-- core --\nc\n```\n";
    let floors = floors(page);
    assert_eq!(floors, [vec!["a", "b"], vec!["c"]]);
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let files = [
        file("src/a.rs", "use crate::{c::{X, Y}, a::Z};"),
        file("src/host/b/x.rs", "fn f() { crate::a::f() }"),
        file("src/core/c.rs", "use crate::b::B; // crate::a"),
        file("src/d.rs", ""),
    ];
    assert_eq!(
        upward(&floors, &files),
        [
            "src/host/b/x.rs imports a, which is not below b",
            "src/core/c.rs imports b, which is not below c",
            "src/d.rs: d stands on no floor"
        ]
    );
}
