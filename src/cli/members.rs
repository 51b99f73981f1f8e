//! `members`: the members, as a table, as lines, as JSON or filled into a template.

use std::time::Duration;

use clap::{
    Args, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};

use super::{
    at::At,
    client::with_query,
    error::CliError,
    output::{Outcome, Output},
    table,
};
use crate::{api, choice::Choice, membership::MemberStatus, node::Role, shown::shown};

/// The flags of `members`.
#[derive(Debug, Args)]
pub struct MembersArgs {
    #[command(flatten)]
    at: At,
    /// How to show the answer [default: a table on a terminal, else one line a member without a heading]
    #[arg(long, value_enum)]
    format: Option<Shape>,
    /// With `--format template`: one line a member, filled from its fields as the API names them
    #[arg(long, value_name = "TEXT", required_if_eq("format", "template"))]
    template: Option<String>,
    /// Only members of this status; repeatable
    #[arg(long, value_parser = choice::<MemberStatus>())]
    status: Vec<MemberStatus>,
    /// Only members of this role; repeatable
    #[arg(long, value_parser = choice::<Role>())]
    role: Vec<Role>,
    /// Only members with this tag; repeatable, and then all must match
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Vec<String>,
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// As the API gives them.
    Json,
    /// For people.
    Table,
    /// By `--template`, such as '{{ name }} {{ addr }} {{ endpoints.raft }}'.
    Template,
}

/// A parser of one of a closed set of values; the help text lists them with their meanings.
fn choice<T: Choice + Send + Sync>() -> impl TypedValueParser<Value = T> {
    let words = T::ALL.iter().map(|value| PossibleValue::new(value.word()).help(value.meaning()));
    PossibleValuesParser::new(words)
        .map(|word| T::named(&word).expect("the parser passes on possible values only"))
}

pub(super) async fn run(args: MembersArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let statuses = args.status.iter().map(|status| ("status", status.to_string()));
    let roles = args.role.iter().map(|role| ("role", role.to_string()));
    let tags = args.tag.into_iter().map(|tag| ("tag", tag));
    let path = with_query("/v1/members", statuses.chain(roles).chain(tags));
    let answer = client.get(&path, Duration::ZERO).await?;
    let members: api::Members = client.read(&path, &answer)?;
    match args.format {
        Some(Shape::Json) => output.out.write_all(&answer.body)?,
        Some(Shape::Template) => {
            let filled = fill(&args.template.unwrap_or_default(), &members.members);
            writeln!(output.out, "{}", filled.map_err(CliError::Template)?.join("\n"))?;
        }
        Some(Shape::Table) => table::write(output.out, &with_heading(&members.members))?,
        None if output.terminal => table::write(output.out, &with_heading(&members.members))?,
        None => {
            for member in &members.members {
                let cells: Vec<_> = row(member).iter().map(|cell| shown(cell).into_owned()).collect();
                writeln!(output.out, "{}", cells.join("\t"))?;
            }
        }
    }
    Ok(if members.members.is_empty() { Outcome::NothingMatched } else { Outcome::Done })
}

/// Fills the template once a member. A name that a member does not have is an error, because an empty word in a script
/// does harm.
fn fill(template: &str, members: &[api::Member]) -> Result<Vec<String>, String> {
    let mut environment = minijinja::Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let wrong = |error: minijinja::Error| format!("--template {template:?}: {error}");
    let parsed = environment.template_from_str(template).map_err(wrong)?;
    members.iter().map(|member| parsed.render(minijinja::value::Serde(member)).map_err(wrong)).collect()
}

fn with_heading(members: &[api::Member]) -> Vec<Vec<String>> {
    let heading = ["NAME", "ADDR", "STATUS", "ROLE", "SINCE", "ENDPOINTS", "TAGS", "ID"].map(str::to_owned);
    std::iter::once(heading.to_vec()).chain(members.iter().map(row)).collect()
}

fn row(member: &api::Member) -> Vec<String> {
    let endpoints = member.endpoints.iter().map(|(name, addr)| format!("{name}={addr}"));
    let tags = member.tags.iter().map(|(key, value)| format!("{key}={value}"));
    vec![
        member.name.to_string(),
        member.addr.to_string(),
        member.status.to_string(),
        member.role.to_string(),
        format!("{:.0}", member.since.0),
        list(endpoints),
        list(tags),
        member.id.to_string(),
    ]
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "-".to_owned() } else { items.join(",") }
}
