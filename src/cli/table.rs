//! Answers as text: rows with aligned columns, and any JSON as one line a field.

use std::io::{self, Write};

use serde_json::Value;

use crate::shown::shown;

/// Writes rows with their columns aligned, two blanks between them.
pub(super) fn write(out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| shown(cell).chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells =
            row.iter().map(|cell| shown(cell)).zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Writes an object as one line a field, nested ones by their path.
pub(super) fn outline(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    let mut rows = Vec::new();
    fields("", value, &mut rows);
    write(out, &rows)
}

fn fields(path: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (key, value) in object {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                fields(&path, value, rows);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (at, item) in items.iter().enumerate() {
                fields(&format!("{path}.{}", at + 1), item, rows);
            }
        }
        Value::Array(items) if items.len() > 1 => {
            for item in items {
                rows.push(vec![path.to_owned(), line(item)]);
            }
        }
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => {
            rows.push(vec![path.to_owned(), line(value)]);
        }
    }
}

/// A value as one line of text.
fn line(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(line).collect::<Vec<_>>().join(", "),
        Value::Object(object) if object.is_empty() => "-".to_owned(),
        Value::Object(object) => {
            let pairs = object.iter().map(|(key, value)| format!("{key}={}", line(value)));
            pairs.collect::<Vec<_>>().join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_has_one_line_a_field() {
        let value = serde_json::json!({
            "status": "lost", "expect": null, "ok": true, "none": [], "one": ["a"], "two": ["a", "b"],
            "missing": [{"name": "node-1", "since": "now"}], "limits": {"body_bytes": 7},
        });
        let mut out = Vec::new();
        outline(&mut out, &value).unwrap();
        let expected = [
            "status             lost",
            "expect             -",
            "ok                 yes",
            "none               -",
            "one                a",
            "two                a",
            "two                b",
            "missing.1.name     node-1",
            "missing.1.since    now",
            "limits.body_bytes  7",
        ];
        assert_eq!(String::from_utf8(out).unwrap().lines().collect::<Vec<_>>(), expected);
    }
}
