//! Measures of types: the files over which one is spread, its fields, and fields that others can reach.

use std::collections::{BTreeMap, BTreeSet};

use super::{code, without_tests};

/// The files in which each type has inherent implementations, if they are more than `most`.
///
/// Types of one name in different files are told apart by the file that declares them: an implementation in a file that
/// declares no such type belongs to the one of that name nearest above it.
pub(super) fn spread(files: &[(String, String)], most: usize) -> Vec<String> {
    let declared: BTreeSet<_> = files
        .iter()
        .flat_map(|(path, text)| declarations(text).into_iter().map(|it| (path.as_str(), it.name)))
        .collect();
    let mut found: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
    for (path, text) in files {
        for name in implementations(text) {
            let home = home(path, &name, &declared);
            found.entry((home, name)).or_default().insert(path);
        }
    }
    let is_spread = |((home, name), paths): ((String, String), BTreeSet<&str>)| {
        (paths.len() > most).then(|| format!("{name} of {home} is implemented in {}", join(&paths)))
    };
    found.into_iter().filter_map(is_spread).collect()
}

fn join(paths: &BTreeSet<&str>) -> String {
    paths.iter().copied().collect::<Vec<_>>().join(", ")
}

/// The file that declares the type which an implementation in `path` means: itself, or the nearest parent.
fn home(path: &str, name: &str, declared: &BTreeSet<(&str, String)>) -> String {
    let mut at = path.to_owned();
    loop {
        if declared.contains(&(at.as_str(), name.to_owned())) {
            return at;
        }
        let Some((folder, _)) = at.trim_end_matches(".rs").rsplit_once('/') else { return path.to_owned() };
        at = format!("{folder}.rs");
    }
}

/// The structs with more than `most` fields.
pub(super) fn large(files: &[(String, String)], most: usize, exceptions: &[&str]) -> Vec<String> {
    let all = files.iter().flat_map(|(path, text)| declarations(text).into_iter().map(move |it| (path, it)));
    all.filter(|(_, it)| it.fields.len() > most && !exceptions.contains(&it.name.as_str()))
        .map(|(path, it)| format!("{path}: {} has {} fields", it.name, it.fields.len()))
        .collect()
}

/// The fields of `owners`, each given by file and name, that are visible outside of their file.
pub(super) fn reachable(files: &[(String, String)], owners: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, name) in owners {
        let text = files.iter().find(|(file, _)| file == path).map(|(_, text)| text.as_str());
        match text.and_then(|text| declarations(text).into_iter().find(|it| it.name == *name)) {
            Some(it) => {
                let open = it
                    .fields
                    .into_iter()
                    .filter(|field| ["pub ", "pub("].iter().any(|visible| field.starts_with(visible)));
                found.extend(open.map(|field| format!("{path}: {name}: {field}")));
            }
            None => found.push(format!("{path}: there is no {name}")),
        }
    }
    found
}

/// A type that a file declares; the fields of a struct, each with its visibility.
struct Declaration {
    name: String,
    fields: Vec<String>,
}

fn declarations(text: &str) -> Vec<Declaration> {
    let code = code(without_tests(text));
    let mut found = Vec::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let words: Vec<_> = line.split_whitespace().collect();
        let Some(at) = words.iter().position(|word| ["struct", "enum"].contains(word)) else { continue };
        let is_declared = at == 0 || words[0].starts_with("pub");
        let Some(name) = words.get(at + 1).filter(|_| is_declared) else { continue };
        let name: String =
            name.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        let has_body = words[at] == "struct" && line.ends_with('{');
        let fields = if has_body { lines.by_ref().take_while(|line| *line != "}").collect() } else { vec![] };
        // A field begins at the first indentation; deeper lines go on with its type.
        let is_field =
            |line: &&str| line.starts_with("    ") && !line.starts_with("     ") && line.contains(':');
        let fields = fields.iter().filter(|line| is_field(line)).map(|line| line.trim().to_owned()).collect();
        found.push(Declaration { name, fields });
    }
    found
}

/// The types for which a file has inherent implementations.
fn implementations(text: &str) -> Vec<String> {
    let code = code(without_tests(text));
    let heads = code.lines().filter(|line| line.starts_with("impl") && line.ends_with('{'));
    let inherent = heads.filter(|line| !line.contains(" for "));
    let name = |line: &str| {
        let rest = line.trim_start_matches("impl");
        let rest = if rest.starts_with('<') {
            rest.split_once("> ").map_or("", |(_, rest)| rest)
        } else {
            rest.trim()
        };
        rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect::<String>()
    };
    inherent.map(name).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_type_in_three_files_is_found_and_one_of_the_same_name_elsewhere_is_another() {
        let three = files(&[
            ("src/a.rs", "pub struct A {\n    x: u8,\n}\nimpl A {\n}\nimpl Clone for A {\n}\n"),
            ("src/a/b.rs", "impl A {\n}\n"),
            ("src/a/c.rs", "impl<'a> A<'a> {\n}\n#[cfg(test)]\nmod tests {\nimpl A {\n}\n}"),
            ("src/d.rs", "struct A;\nimpl A {\n}\n"),
        ]);
        assert_eq!(spread(&three, 3), [""; 0]);
        let found = spread(&three, 2);
        assert_eq!(found, ["A of src/a.rs is implemented in src/a.rs, src/a/b.rs, src/a/c.rs"]);
    }

    #[test]
    fn fields_are_counted_and_those_that_others_reach_are_found() {
        let text = "pub(super) struct A {\n    /// x: y\n    x: BTreeMap<\n        K: u8,\n    >,\n    pub(super) y: u8,\n}\n";
        let one = files(&[("src/a.rs", text)]);
        assert_eq!(large(&one, 1, &[]), ["src/a.rs: A has 2 fields"]);
        assert_eq!((large(&one, 2, &[]), large(&one, 1, &["A"])), (vec![], vec![]));
        assert_eq!(reachable(&one, &[("src/a.rs", "A")]), ["src/a.rs: A: pub(super) y: u8,"]);
        assert_eq!(reachable(&one, &[("src/a.rs", "B")]), ["src/a.rs: there is no B"]);
    }
}
