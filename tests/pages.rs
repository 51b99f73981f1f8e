//! Pages of `docs/` that are made from tables in the code. `UPDATE_PAGES=1` writes them anew; otherwise they are compared.

use std::{env, fmt::Write as _, fs, path::Path};

use chronik_agent::bootstrap::Reason;

/// Compares a page with its table, or writes it.
fn check(page: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    if env::var_os("UPDATE_PAGES").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(there, expected, "{page} differs from its table: run this test once with UPDATE_PAGES=1");
}

#[test]
fn the_page_of_reasons_is_the_table_of_reasons() {
    let mut page = "# Why a server waits\n\n\
        Each reason in `GET /v1/bootstrap` has a code for programs and a text for people, which ends in its remedy. A name in\n\
        braces stands for what is the case. This page is made from the table in `src/core/bootstrap/reason.rs`.\n\n\
        | code | what is the case | what to do |\n|---|---|---|\n"
        .to_owned();
    for entry in Reason::TABLE {
        writeln!(page, "| `{}` | {} | {} |", entry.code, entry.sentence, entry.remedy).unwrap();
    }
    check("docs/reasons.md", &page);
}
