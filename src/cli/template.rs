//! Texts filled from the decision. A name that the answer does not have, or has as null, is an error that shows it,
//! because a server that starts with an empty argument bootstraps something else.

use std::{collections::BTreeSet, ops::Range};

use minijinja::{
    Environment, Error, ErrorKind, UndefinedBehavior, Value,
    value::{Rest, Serde},
};
use serde_json::{Map, Value as Json};

/// A text that cannot be filled.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It has a name that the answer does not have.
    #[error(
        "{place}, line {line}: `{name}` is not defined: the decision is `{decision}`, and has {known}; --set adds more"
    )]
    Undefined {
        /// The argument, variable or file with the text.
        place: String,
        /// The line in it.
        line: usize,
        /// The expression.
        name: String,
        /// The decision at that moment.
        decision: String,
        /// The names that are defined.
        known: String,
    },
    /// It has a mistake, or a function in it fails.
    #[error("{place}, line {line}: {problem}")]
    Wrong {
        /// The argument, variable or file with the text.
        place: String,
        /// The line in it.
        line: usize,
        /// The mistake.
        problem: String,
    },
}

/// The values that texts are filled from.
#[derive(Debug)]
pub(super) struct Filler {
    environment: Environment<'static>,
    values: Value,
    known: String,
    decision: String,
    /// True if the voters, or the members, name this server already.
    is_member: bool,
    /// The ids of the founders, as `--founders` takes them.
    founders: String,
}

impl Filler {
    /// Takes the values of the answer of `/v1/bootstrap`, that of `/v1/self` under `node`, and those that the user sets.
    pub(super) fn new(bootstrap: Json, node: Json, set: &[(String, String)]) -> Self {
        let decision = bootstrap["decision"].as_str().unwrap_or_default().to_owned();
        let is_member = bootstrap["me"]["voter"] == true || bootstrap["members"].is_array();
        let founders = bootstrap["founders"].as_array().into_iter().flatten();
        let founders: Vec<&str> = founders.filter_map(|founder| founder["id"].as_str()).collect();
        let founders = founders.join(",");
        let (bootstrap, node) = (without_nulls(bootstrap), without_nulls(node));
        let mut unsafe_texts = BTreeSet::new();
        [&bootstrap, &node].into_iter().for_each(|answer| collect_unsafe(answer, &mut unsafe_texts));
        let mut values = match bootstrap {
            Json::Object(values) => values,
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => Map::new(),
        };
        values.insert("node".to_owned(), node);
        for (key, value) in set {
            // A number stays one, so that ids can be sorted and added to.
            let value = value.parse::<u64>().map_or_else(|_| Json::from(value.as_str()), Json::from);
            values.insert(key.clone(), value);
        }
        let known: Vec<&str> = values.keys().map(String::as_str).collect();
        let known = known.join(", ");
        Self {
            environment: environment(unsafe_texts),
            values: Serde(values).into(),
            known,
            decision,
            is_member,
            founders,
        }
    }

    /// True if this server joins, and somebody has to admit it first.
    pub(super) fn is_to_be_admitted(&self) -> bool {
        self.decision == "join" && !self.is_member
    }

    /// Fills `text`; errors name its `place`.
    pub(super) fn fill(&self, place: &str, text: &str) -> Result<String, TemplateError> {
        self.environment
            .render_str(text, self.values.clone())
            .map_err(|error| self.explain(place, text, &error))
    }

    fn explain(&self, place: &str, text: &str, error: &Error) -> TemplateError {
        let place = place.to_owned();
        let line = error.line().unwrap_or(1);
        if error.kind() == ErrorKind::UndefinedError {
            let name = error.range().and_then(|range| whole(text, range)).unwrap_or("something").to_owned();
            let (decision, known) = (self.decision.clone(), self.known.clone());
            return TemplateError::Undefined { place, line, name, decision, known };
        }
        let mut problem = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        if problem.contains("has no endpoint") && self.decision == "bootstrap" {
            // A bootstrap keeps the endpoints that it was agreed with.
            problem.push_str(&format!(
                ", and then agree on it once more with `chronik-agent bootstrap override --founders {}`",
                self.founders
            ));
        }
        TemplateError::Wrong { place, line, problem }
    }
}

/// The expression in `range`, with the name before it if it begins with an index.
fn whole(text: &str, range: Range<usize>) -> Option<&str> {
    let before = text.get(..range.start)?;
    let name = before.rfind(|char: char| !char.is_ascii_alphanumeric() && char != '_').map_or(0, |at| at + 1);
    let begins = if text.get(range.clone())?.starts_with(['[', '.']) { name } else { range.start };
    text.get(begins..range.end).map(str::trim)
}

/// The value without fields that are null, which count as missing.
fn without_nulls(value: Json) -> Json {
    match value {
        Json::Object(fields) => {
            let there = fields.into_iter().filter(|(_, value)| !value.is_null());
            there.map(|(key, value)| (key, without_nulls(value))).collect::<Map<_, _>>().into()
        }
        Json::Array(items) => items.into_iter().map(without_nulls).collect(),
        value @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_)) => value,
    }
}

/// Adds the texts of an answer that could end a quoted text, a list or a line in a server's configuration. Others choose them.
fn collect_unsafe(answer: &Json, found: &mut BTreeSet<String>) {
    match answer {
        Json::String(text) if !text.chars().all(is_harmless) => {
            found.insert(text.clone());
        }
        Json::Array(items) => items.iter().for_each(|item| collect_unsafe(item, found)),
        Json::Object(fields) => fields.values().for_each(|field| collect_unsafe(field, found)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// True for characters that mean nothing in any file format, list or shell; a blank is part of a name.
fn is_harmless(char: char) -> bool {
    char.is_alphanumeric() || " -_.:/@+%[]".contains(char)
}

fn environment(unsafe_texts: BTreeSet<String>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_formatter(move |out, state, value| {
        let is_safe = value.is_safe() || !value.as_str().is_some_and(|text| unsafe_texts.contains(text));
        if is_safe {
            return minijinja::escape_formatter(out, state, value);
        }
        Err(wrong(format!(
            "{value:?} has characters that could add something to a configuration: write `| tojson` behind it where \
             that is JSON, TOML or YAML, or give that server's agent another --node-name"
        )))
    });
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_debug(true);
    environment.add_function("fail", |message: String| Err::<Value, Error>(wrong(message)));
    environment.add_function("endpoint", endpoint);
    environment.add_function("host", |address: String| part(&address).map(|(host, _)| host.to_owned()));
    environment.add_function("port", |address: String| part(&address).map(|(_, port)| port.to_owned()));
    environment.add_function("unique_names", unique_names);
    environment.add_function("own_name", own_name);
    environment
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn part(address: &str) -> Result<(&str, &str), Error> {
    address.rsplit_once(':').ok_or_else(|| wrong(format!("{address:?} is no HOST:PORT")))
}

/// The first of the endpoints `names` that a server has.
fn endpoint(server: Value, names: Rest<String>) -> Result<Value, Error> {
    let endpoints = server.get_attr("endpoints")?;
    for name in names.iter() {
        let found = endpoints.get_attr(name)?;
        if !found.is_undefined() {
            return Ok(found);
        }
    }
    let name = label(&server)?;
    let wanted = names.join("` or `");
    let flag = names.first().map_or("raft", String::as_str);
    Err(wrong(format!(
        "{name} has no endpoint `{wanted}`: start its agent with --endpoint {flag}=[HOST]:PORT"
    )))
}

/// The name of a server, else its id.
fn label(server: &Value) -> Result<String, Error> {
    let name = server.get_attr("name")?;
    let named = if name.is_undefined() { server.get_attr("id")? } else { name };
    Ok(named.as_str().unwrap_or("a server without a name").to_owned())
}

/// The name with `-` for each character that has a meaning in `NAME=URL,…`.
fn plain(name: &str) -> String {
    let keep = |char: char| if char.is_ascii_alphanumeric() || "-_.".contains(char) { char } else { '-' };
    name.chars().map(keep).collect()
}

/// The servers with plain and unique names: if two are alike, each name gets its server's number behind it. The result is
/// the same on every node, because all have the same list.
fn unique_names(servers: Vec<Value>) -> Result<Vec<Value>, Error> {
    let names: Vec<String> =
        servers.iter().map(|server| Ok(plain(&label(server)?))).collect::<Result<_, Error>>()?;
    let unique = names.iter().collect::<BTreeSet<_>>().len() == names.len();
    let named = (1..).zip(names).zip(servers).map(|((number, name), server): ((usize, String), Value)| {
        let name = if unique { name } else { format!("{name}-{number}") };
        Ok(minijinja::context! { name, id => server.get_attr("id")?, endpoints => server.get_attr("endpoints")? })
    });
    named.collect()
}

/// A name for a server that joins, different from those of `peers`.
fn own_name(peers: Vec<Value>, node: Value) -> Result<String, Error> {
    let name = plain(&label(&node)?);
    let taken =
        peers.iter().any(|peer| peer.get_attr("name").is_ok_and(|other| other.as_str() == Some(&name)));
    if !taken {
        return Ok(name);
    }
    // The end of a node id is random; its beginning is the time of its first start.
    let id = node.get_attr("id")?.to_string();
    let tail = id.get(id.len().saturating_sub(8)..).unwrap_or(&id);
    Ok(format!("{name}-{tail}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(ordinal: u16, name: &str) -> Json {
        let endpoint = |port: u16| format!("10.0.0.{ordinal}:{port}");
        json!({"ordinal": ordinal, "id": format!("id-{ordinal}"), "name": name,
               "endpoints": {"peer": endpoint(2380), "kafka": endpoint(9092), "wal": endpoint(9291), "raft": endpoint(5001)}})
    }

    fn filler(decision: &str, me: u16, set: &[(&str, &str)]) -> Filler {
        let servers = json!([server(1, "box"), server(2, "box"), server(3, "b,c=d")]);
        let ordinal = (me < 4).then_some(me);
        let bootstrap = json!({"decision": decision, "cluster_id": "c1", "established": false,
            "me": {"founder": me < 4, "voter": me < 4, "ordinal": ordinal}, "founders": servers, "voters": servers});
        let set: Vec<_> = set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Filler::new(bootstrap, server(me, "box"), &set)
    }

    #[test]
    fn etcd_gets_the_same_members_under_unique_names() {
        let text = include_str!("templates/etcd.args");
        assert_eq!(
            filler("bootstrap", 2, &[]).fill("etcd", text).unwrap(),
            "--name=box-2\n--initial-advertise-peer-urls=http://10.0.0.2:2380\n\
             --initial-cluster=box-1=http://10.0.0.1:2380,box-2=http://10.0.0.2:2380,b-c-d-3=http://10.0.0.3:2380\n\
             --initial-cluster-token=c1\n--initial-cluster-state=new"
        );
        let mut bootstrap = json!({"decision": "resume", "cluster_id": "c1", "established": true, "recover": true,
            "me": {"founder": true, "voter": true}, "founders": [], "voters": [server(1, "box")]});
        let fill = |bootstrap: &Json| {
            Filler::new(bootstrap.clone(), server(1, "box"), &[]).fill("etcd", text).unwrap()
        };
        assert!(fill(&bootstrap).ends_with("--initial-cluster-state=existing\n--force-new-cluster"));
        bootstrap["recover"] = false.into();
        assert!(fill(&bootstrap).ends_with("--initial-cluster-state=existing"));
        let joined = filler("join", 4, &[("scheme", "https")]).fill("etcd", text).unwrap();
        assert!(joined.starts_with("--name=box\n"), "{joined}");
        assert!(joined.contains("b-c-d-3=https://10.0.0.3:2380,box=https://10.0.0.4:2380\n"), "{joined}");
        assert!(joined.ends_with("--initial-cluster-state=existing"), "{joined}");
    }

    #[test]
    fn chronik_gets_its_file() {
        let text = include_str!("templates/chronik.toml");
        let file = filler("bootstrap", 2, &[("data_dir", "/data")]).fill("chronik", text).unwrap();
        let file: toml::Table = file.parse().unwrap();
        let peer = |number: u16| {
            format!(
                "id = {number}\nkafka = '10.0.0.{number}:9092'\nwal = '10.0.0.{number}:9291'\nraft = '10.0.0.{number}:5001'\n"
            )
        };
        let expected = format!(
            "enabled = true\nnode_id = 2\ndata_dir = '/data'\nreplication_factor = 3\nmin_insync_replicas = 2\n\
             bind = {{ kafka = '0.0.0.0:9092', wal = '0.0.0.0:9291', raft = '0.0.0.0:5001' }}\n\
             advertise = {{ kafka = '10.0.0.2:9092', wal = '10.0.0.2:9291', raft = '10.0.0.2:5001' }}\n\
             [[peers]]\n{}[[peers]]\n{}[[peers]]\n{}",
            peer(1),
            peer(2),
            peer(3)
        );
        assert_eq!(file, expected.parse().unwrap());
    }

    #[test]
    fn a_server_that_joins_chronik_needs_a_number() {
        let text = include_str!("templates/chronik.toml");
        let error = filler("join", 4, &[]).fill("chronik", text).unwrap_err().to_string();
        assert!(error.contains("give it a number that no other has with --set node_id=N"), "{error}");
        let file = filler("join", 4, &[("node_id", "4")]).fill("chronik", text).unwrap();
        assert!(file.contains("node_id = 4\n") && file.contains("[[peers]]\nid = 4\n"), "{file}");
        let remark = include_str!("templates/chronik.join");
        let remark = filler("join", 4, &[("node_id", "4")]).fill("chronik", remark).unwrap();
        assert!(remark.contains("10.0.0.1:10001, 10.0.0.2:10002, 10.0.0.3:10003"), "{remark}");
        assert!(remark.contains(r#"-d '{"node_id":4,"kafka_addr":"10.0.0.4:9092","#), "{remark}");
    }

    /// Alone on its list it would be a cluster of its own.
    #[test]
    fn a_server_that_joins_needs_one_that_it_could_ask() {
        let bootstrap = json!({"decision": "join", "cluster_id": "c1", "established": true,
            "me": {"founder": false, "voter": false, "ordinal": null}, "founders": [], "voters": []});
        let filler = Filler::new(bootstrap, server(4, "box"), &[("node_id".to_owned(), "4".to_owned())]);
        for template in [include_str!("templates/etcd.args"), include_str!("templates/chronik.toml")] {
            let error = filler.fill("a template", template).unwrap_err().to_string();
            assert!(error.contains("is known that it could ask: report them with"), "{error}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let filler = filler("join", 4, &[]);
        for (text, expected) in [
            (
                "{{ founder }}",
                "argument 1, line 1: `founder` is not defined: the decision is `join`, and has ",
            ),
            ("a\n{{ me.ordinal }}", "argument 1, line 2: `me.ordinal` is not defined"),
            ("{{ founders[7].name }}", "argument 1, line 1: `founders[7].name` is not defined"),
            (
                "{{ endpoint(founders[0], \"sql\") }}",
                "argument 1, line 1: box has no endpoint `sql`: start its agent with --endpoint sql=[HOST]:PORT",
            ),
            ("{{ decision", "argument 1, line 1: "),
        ] {
            let error = filler.fill("argument 1", text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
