//! The program that makes docs/performance.md and its plots of the raw results in docs/performance.
#![expect(clippy::print_stderr, reason = "it tells what is wrong with a raw result")]

#[path = "report/page.rs"]
mod page;

use std::{fs, io, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    match page::make(root).map_err(io::Error::other).and_then(|files| write(root, &files)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn write(root: &Path, files: &[page::File]) -> io::Result<()> {
    for page::File { path, text } in files {
        fs::write(root.join(path), text)?;
    }
    Ok(())
}
