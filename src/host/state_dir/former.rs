//! Records of versions in which nodes had no keys: their votes are nobody's that others could verify.

use serde_json::Value;

/// True if such a record holds no vote and no cluster, so that nothing is lost if its node becomes another one.
pub(super) fn is_blank(json: &[u8]) -> bool {
    let Ok(record) = serde_json::from_slice::<Value>(json) else { return false };
    let Some(Value::Object(founding)) = record.get("founding") else { return false };
    let is_named = |name: &str| ["node_id", "cluster_name"].contains(&name);
    founding.iter().all(|(name, value)| is_named(name) || is_nothing(value))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(entries) => entries.is_empty(),
        Value::Object(entries) => entries.values().all(is_nothing),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0191b3a0-0000-7000-8000-000000000001";

    fn is_blank_with(founding: &str) -> bool {
        is_blank(format!(r#"{{"epoch":7,"founding":{{"node_id":"{ID}",{founding}}}}}"#).as_bytes())
    }

    #[test]
    fn a_former_record_is_blank_if_it_holds_no_vote_and_no_cluster() {
        let first = r#""promised":null,"accepted":null,"cluster":null,"rival":null,"claim":null"#;
        let second = r#""cluster_name":"chronik","promised":null,"accepted":null,"notes":null,"shelved":{},
            "knowledge":{"foundings":{},"reports":{},"retired":[],"words":{}}"#;
        assert!(is_blank_with(first) && is_blank_with(second));
        let voted = format!(r#""promised":{{"round":3,"node":"{ID}"}}"#);
        let told = second.replace(r#""reports":{}"#, r#""reports":{"a":{"number":1}}"#);
        let shelf = second.replace(r#""shelved":{}"#, r#""shelved":{"other":{"promised":{"round":1}}}"#);
        for founding in [&voted, &told, &shelf] {
            assert!(!is_blank_with(founding), "{founding}");
        }
        assert!(!is_blank(b"{}") && !is_blank(b"no JSON"));
    }
}
