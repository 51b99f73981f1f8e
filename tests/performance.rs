//! The page on performance, against the raw results that it is made of.

#[path = "../benches/report/page.rs"]
mod page;

use std::{fs, path::Path};

use crate::running::Dir;

#[test]
fn the_page_is_what_the_raw_results_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page::File { path, text } in page::make(root).unwrap() {
        let found = fs::read_to_string(root.join(&path)).unwrap_or_default();
        assert!(
            found == text,
            "{path} is not what its program makes: cargo bench --no-default-features --bench report"
        );
    }
}

#[test]
fn a_raw_result_that_does_not_read_is_named() {
    let dir = Dir::new();
    let raw = dir.0.join("docs/performance");
    fs::create_dir_all(&raw).unwrap();
    let good = r#"{"suite":"sim","scenario":"join","n":1000,"seed":1,"seconds":1.25}"#;
    let made = |lines: &str| {
        fs::write(raw.join("a.jsonl"), lines).unwrap();
        page::make(&dir.0).map(|files| files.into_iter().last().unwrap().text)
    };
    assert!(made(good).unwrap().contains("| join | 1000 | 1.25 | 1.25 | 1.25 | 1 | - | A | - | - |"));
    let broken = [
        ("{", "line 2: `{` is no JSON"),
        (r#"{"suite":"sim","n":3}"#, "line 2: it has no `scenario`: correct or remove it"),
        (r#"{"suite":"sim","scenario":"join"}"#, "line 2: it has no number of members `n`"),
    ];
    for (line, said) in broken {
        let error = made(&format!("{good}\n{line}\n")).unwrap_err();
        assert!(error.contains("a.jsonl, ") && error.contains(said), "{error}");
    }
}
