//! The imports between the files of a crate, which may form no circle: `use` declarations and paths in the code.

use std::collections::{BTreeMap, BTreeSet};

use super::{TEST_ATTRIBUTES, code, without_tests};

/// The file of each module, by the module's path from the root of the crate, which itself is empty.
type Modules<'a> = BTreeMap<String, &'a str>;

/// The folder whose modules the root of the agent re-exports.
const RE_EXPORTED: &str = "host";

/// The files that each file imports from.
type Imports<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// The circles among the files below `folder`, in which the crate's `lib.rs` lies: for each the imports that form it.
///
/// A declaration `mod child;` is no import. Names of the parent make the parent an import of its child, and the other way
/// round. Tests do not count, if `files` comes without test modules.
pub(super) fn circles(folder: &str, files: &[(String, String)]) -> Vec<String> {
    let below = |path: &str, folder: &str| path.starts_with(&format!("{folder}/"));
    let files: Vec<_> = files.iter().filter(|(path, _)| below(path, folder)).collect();
    // A folder with a root of its own is another crate.
    let roots = files.iter().filter_map(|(path, _)| path.strip_suffix("/lib.rs"));
    let others: Vec<_> = roots.filter(|root| *root != folder).map(str::to_owned).collect();
    let files: Vec<_> =
        files.into_iter().filter(|(path, _)| !others.iter().any(|other| below(path, other))).collect();
    let modules = files.iter().map(|(path, _)| (module(folder, path), path.as_str())).collect();
    let imports: Imports<'_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), imported(&module(folder, path), text, &modules)))
        .collect();
    let reached: BTreeMap<_, _> = imports.keys().map(|file| (*file, reachable(file, &imports))).collect();
    let circle = |file: &str| -> BTreeSet<&str> {
        reached[file].iter().filter(|other| reached[**other].contains(file)).copied().collect()
    };
    let found: BTreeSet<_> =
        imports.keys().map(|file| circle(file)).filter(|found| !found.is_empty()).collect();
    found.iter().map(|circle| shown(circle, &imports)).collect()
}

fn module(folder: &str, path: &str) -> String {
    let path = path[folder.len() + 1..].trim_end_matches(".rs");
    if path == "lib" { String::new() } else { path.replace('/', "::") }
}

fn parent(module: &str) -> &str {
    module.rsplit_once("::").map_or("", |(parent, _)| parent)
}

fn child(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}::{name}") }
}

/// The files that a module imports from, but for its own.
fn imported<'a>(here: &str, text: &str, modules: &Modules<'a>) -> BTreeSet<&'a str> {
    let code = without_test_imports(&code(without_tests(text)));
    let paths = paths(&tokens(&code));
    let mut names = BTreeMap::new();
    let mut found = BTreeSet::new();
    // The first round finds the modules that are imported by name, the second the paths that begin with such a name.
    for _ in 0..2 {
        for path in &paths {
            let Some((module, rest)) = resolve(path, here, modules, &names) else { continue };
            found.extend(modules.get(&module));
            if let (Some(name), []) = (module.rsplit("::").next(), rest) {
                names.insert(name.to_owned(), module);
            }
        }
    }
    found.retain(|file| modules.get(here) != Some(file));
    found
}

/// The module that a path leads into, and the rest of the path; `None` for paths out of the crate. `names` are the modules
/// that the file has imported.
fn resolve<'p>(
    path: &'p [&'p str],
    here: &str,
    modules: &Modules<'_>,
    names: &BTreeMap<String, String>,
) -> Option<(String, &'p [&'p str])> {
    let (first, mut rest) = path.split_first()?;
    let mut module = match *first {
        "crate" => String::new(),
        "self" => here.to_owned(),
        "super" => parent(here).to_owned(),
        name if modules.contains_key(&child(here, name)) => child(here, name),
        name => names.get(name)?.clone(),
    };
    // The root of a crate declares and re-exports. A name that it re-exports of a folder leads there, any other out of it.
    if let ("", [name, ..]) = (module.as_str(), rest)
        && !modules.contains_key(*name)
        && !matches!(*name, "self" | "super")
    {
        module = RE_EXPORTED.to_owned();
        modules.get(&child(&module, name))?;
    }
    while let [next, more @ ..] = rest {
        module = match *next {
            "self" => module,
            "super" => parent(&module).to_owned(),
            name if modules.contains_key(&child(&module, name)) => child(&module, name),
            _ => break,
        };
        rest = more;
    }
    Some((module, rest))
}

/// The code without imports that are made for tests alone.
fn without_test_imports(code: &str) -> String {
    let mut code = code.to_owned();
    for attribute in TEST_ATTRIBUTES {
        while let Some(at) = code.find(&format!("{attribute}\nuse ")) {
            let end = code[at..].find(';').map_or(code.len(), |end| at + end + 1);
            code.replace_range(at..end, "");
        }
    }
    code
}

/// Words, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match rest.find(|c| !is_word(c)).unwrap_or(rest.len()) {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            length => length,
        };
        let (token, behind) = rest.split_at(length);
        tokens.push(token);
        rest = behind.trim_start();
    }
    tokens
}

/// All paths of two names or more, those in braces completed.
fn paths<'a>(tokens: &[&'a str]) -> Vec<Vec<&'a str>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_path = is_name(tokens[at]) && tokens.get(at + 1) == Some(&"::");
        // The path of a visibility, `pub(in crate::a)`, imports nothing.
        let is_first = at == 0 || !["::", "in"].contains(&tokens[at - 1]);
        at = if is_path && is_first { add_tree(tokens, at, Vec::new(), &mut found) } else { at + 1 };
    }
    found
}

/// Adds the paths of the tree that begins at a token, each behind `prefix`; returns the position behind the tree.
fn add_tree<'a>(
    tokens: &[&'a str],
    mut at: usize,
    mut prefix: Vec<&'a str>,
    found: &mut Vec<Vec<&'a str>>,
) -> usize {
    match tokens.get(at) {
        Some(&"{") => {
            at += 1;
            while tokens.get(at).is_some_and(|token| *token != "}") {
                at = if tokens[at] == "," { at + 1 } else { add_tree(tokens, at, prefix.clone(), found) };
            }
            return at + 1;
        }
        Some(name) if is_name(name) => prefix.push(name),
        _ => {}
    }
    let next = tokens.get(at + 2).is_some_and(|next| is_name(next) || ["{", "*"].contains(next));
    if tokens.get(at + 1) == Some(&"::") && next {
        return add_tree(tokens, at + 2, prefix, found);
    }
    found.push(prefix);
    if tokens.get(at + 1) == Some(&"as") { at + 3 } else { at + 1 }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn reachable<'a>(from: &'a str, imports: &Imports<'a>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(file) = waiting.pop() {
        waiting.extend(imports[file].iter().filter(|next| found.insert(**next)).copied());
    }
    found
}

fn shown(circle: &BTreeSet<&str>, imports: &Imports<'_>) -> String {
    let inside = circle.iter().map(|file| {
        let others: Vec<_> = imports[file].intersection(circle).copied().collect();
        format!("{file} imports {}", others.join(", "))
    });
    inside.collect::<Vec<_>>().join("; ")
}

#[test]
fn files_that_import_each_other_are_a_circle() {
    let both = "x/a.rs imports x/b.rs; x/b.rs imports x/a.rs";
    for (a, b) in [
        ("use crate::b::B;", "use crate::a::A;"),
        ("use crate::{c::C, b::{self as other, B}};", "fn f() -> crate::a::A {}"),
        ("use super::b;", "pub(super) use super::{super::x, a::*};"),
        ("fn f() { crate::b::f::<u8>() }", "use crate::c; fn f() { g(self::super::a::f); }"),
    ] {
        assert_eq!(circles_of(&[("a.rs", a), ("b.rs", b), ("c.rs", ""), ("lib.rs", "mod a;")]), [both]);
    }
    let three = [("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c::C;"), ("c.rs", "use crate::a::A;")];
    assert_eq!(circles_of(&three), ["x/a.rs imports x/b.rs; x/b.rs imports x/c.rs; x/c.rs imports x/a.rs"]);
}

#[test]
fn a_parent_and_its_child_are_a_circle_if_each_uses_names_of_the_other() {
    let lib = ("lib.rs", "mod a; mod d;");
    let both = ["x/a.rs imports x/a/c.rs; x/a/c.rs imports x/a.rs"];
    assert_eq!(circles_of(&[lib, ("a.rs", "mod c; use c::C;"), ("a/c.rs", "use super::A;")]), both);
    assert_eq!(circles_of(&[lib, ("a.rs", "fn f() { c::f() }"), ("a/c.rs", "type T = super::A;")]), both);
    assert_eq!(circles_of(&[lib, ("a.rs", "mod c;"), ("a/c.rs", "use super::A;")]), [""; 0]);
    assert_eq!(
        circles_of(&[lib, ("a.rs", "use c::C;"), ("a/c.rs", "use super::d;"), ("a/d.rs", "")]),
        [""; 0]
    );
    let by_name = [("a.rs", "use crate::d; fn f() { d::e::f() }"), ("d.rs", ""), ("d/e.rs", "use crate::a;")];
    assert_eq!(circles_of(&by_name), ["x/a.rs imports x/d/e.rs; x/d/e.rs imports x/a.rs"]);
}

#[test]
fn tests_comments_and_other_crates_are_no_imports() {
    let other = ("b.rs", "use crate::a::A;");
    for text in [
        "// use crate::b::B;",
        "const A: &str = \"crate::b::B\";",
        "use std::b::B; use other::crate_b::b;",
        "#[cfg(test)]\nuse crate::b::B;",
        "\n#[cfg(test)]\nmod tests {\nuse crate::b::B;\n}",
    ] {
        assert_eq!(circles_of(&[("a.rs", text), other]), [""; 0], "{text}");
    }
}

/// The circles of a crate with these files.
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<_> = files.iter().map(|(path, text)| (format!("x/{path}"), (*text).to_owned())).collect();
    circles("x", &files)
}
