//! The word of a message about the name that was asked for. Records of other names in it say nothing: a server that adds them
//! is wrong, or wants to be believed about names that nobody asked it for (RFC 2181, 5.4.1).

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, RecordType},
};

/// Number of aliases followed from one name to the next.
pub(crate) const MAX_ALIASES: usize = 8;

/// Longest time to live (RFC 2181, 8): greater numbers have the highest bit set, and mean 0.
const MAX_TTL: u32 = i32::MAX.cast_unsigned();

/// The data of a record, and its time to live in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dated<T> {
    /// The data.
    pub(crate) data: T,
    /// Time to live: the lowest of the record's own and those of the aliases that led to it.
    pub(crate) ttl: u32,
}

/// The answer of a name server that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Records of the kind asked for. Never empty.
    Records(Vec<Dated<RData>>),
    /// An alias, whose own records are not in the message: they are asked for next.
    Alias(Dated<Name>),
    /// No records, and the server knows that there are none.
    Absent(Absence),
}

/// The kind of an absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absence {
    /// The name does not exist.
    Name,
    /// The name exists, and has no record of the kind asked for.
    Records,
}

/// The weight of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It counts.
    Answer(Answer),
    /// It has nothing in it, not even a proof that there is nothing (RFC 2308), and comes from a server that neither has
    /// the name nor asks others for it. It counts only if no other server knows more.
    Empty,
    /// The server cannot answer.
    Refusal(ResponseCode),
}

/// Weighs the answer to a question.
pub(crate) fn weigh(message: &Message, name: &Name, kind: RecordType) -> Verdict {
    let code = message.metadata.response_code;
    if code == ResponseCode::NXDomain {
        return Verdict::Answer(Answer::Absent(Absence::Name));
    }
    if code != ResponseCode::NoError {
        return Verdict::Refusal(code);
    }
    let end = end_of_aliases(&message.answers, name);
    let of_name = message.answers.iter().filter(|r| r.name == end.data && r.record_type() == kind);
    let records: Vec<_> =
        of_name.map(|record| Dated { data: record.data.clone(), ttl: ttl(record).min(end.ttl) }).collect();
    if !records.is_empty() {
        return Verdict::Answer(Answer::Records(records));
    }
    let is_proof = |record: &Record| record.record_type() == RecordType::SOA;
    let knows = message.metadata.authoritative || message.metadata.recursion_available;
    if end.data != *name {
        Verdict::Answer(Answer::Alias(end))
    } else if knows || message.authorities.iter().any(is_proof) {
        Verdict::Answer(Answer::Absent(Absence::Records))
    } else {
        Verdict::Empty
    }
}

/// Follows the aliases in a message from a name to the last of them. A circle ends after [`MAX_ALIASES`].
fn end_of_aliases(records: &[Record], name: &Name) -> Dated<Name> {
    let mut end = Dated { data: name.clone(), ttl: MAX_TTL };
    for _ in 0..MAX_ALIASES {
        let aliases = records.iter().filter(|record| record.name == end.data);
        let Some((record, target)) = aliases.filter_map(|r| Some((r, alias(&r.data)?))).next() else {
            break;
        };
        end = Dated { data: target.clone(), ttl: ttl(record).min(end.ttl) };
    }
    end
}

#[expect(clippy::wildcard_enum_match_arm, reason = "one kind of record out of thirty")]
fn alias(data: &RData) -> Option<&Name> {
    match data {
        RData::CNAME(name) => Some(&name.0),
        _ => None,
    }
}

fn ttl(record: &Record) -> u32 {
    if record.ttl > MAX_TTL { 0 } else { record.ttl }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn a(owner: &str, last: u8, ttl: u32) -> Record {
        Record::from_rdata(name(owner), ttl, RData::A(A::new(10, 0, 0, last)))
    }

    fn cname(owner: &str, target: &str, ttl: u32) -> Record {
        Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
    }

    fn soa() -> Record {
        let data = SOA::new(name("test."), name("root.test."), 1, 2, 3, 4, 5);
        Record::from_rdata(name("test."), 30, RData::SOA(data))
    }

    /// The verdict about `m.test.` of a message with these answers and authorities.
    fn verdict(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Verdict {
        let mut message = Message::query();
        message.metadata.response_code = code;
        (message.answers, message.authorities) = (answers, authorities);
        weigh(&message, &name("m.test."), RecordType::A)
    }

    fn records(answers: Vec<Record>) -> Vec<(String, u32)> {
        let verdict = verdict(ResponseCode::NoError, answers, vec![]);
        let Verdict::Answer(Answer::Records(records)) = verdict else { panic!("{verdict:?}") };
        records.into_iter().map(|record| (record.data.to_string(), record.ttl)).collect()
    }

    #[test]
    fn records_of_other_names_say_nothing() {
        let first = [("10.0.0.1".to_owned(), 30)];
        assert_eq!(records(vec![a("x.test.", 6, 1), a("M.test.", 1, 30)]), first);
        assert_eq!(verdict(ResponseCode::NoError, vec![a("x.test.", 6, 1)], vec![]), Verdict::Empty, "alone");
        let chain =
            vec![a("Y.other.", 1, 30), cname("x.test.", "y.OTHER.", 60), cname("m.test.", "X.test.", 60)];
        assert_eq!(records(chain), first, "behind aliases, in any order");
    }

    #[test]
    fn an_alias_is_as_short_lived_as_its_shortest_part() {
        assert_eq!(records(vec![cname("m.test.", "x.", 5), a("x.", 1, 30)])[0].1, 5);
        assert_eq!(records(vec![a("m.test.", 1, MAX_TTL)])[0].1, MAX_TTL);
        assert_eq!(records(vec![a("m.test.", 1, MAX_TTL + 6)])[0].1, 0, "RFC 2181, 8");
    }

    #[test]
    fn an_alias_without_records_is_followed_and_a_circle_ends() {
        let alias = |answers| verdict(ResponseCode::NoError, answers, vec![]);
        let next = Answer::Alias(Dated { data: name("x."), ttl: 5 });
        assert_eq!(alias(vec![cname("m.test.", "x.", 5)]), Verdict::Answer(next));
        let circle = vec![cname("m.test.", "x.", 5), cname("x.", "m.test.", 5)];
        assert!(matches!(alias(circle), Verdict::Empty | Verdict::Answer(Answer::Alias(_))));
    }

    #[test]
    fn an_absence_needs_a_proof() {
        use ResponseCode::{NXDomain, NoError, Refused, ServFail};
        let absent = |absence| Verdict::Answer(Answer::Absent(absence));
        assert_eq!(verdict(NoError, vec![], vec![]), Verdict::Empty);
        assert_eq!(verdict(NoError, vec![], vec![a("test.", 1, 1)]), Verdict::Empty, "a referral");
        assert_eq!(verdict(NoError, vec![], vec![soa()]), absent(Absence::Records));
        assert_eq!(verdict(NXDomain, vec![], vec![]), absent(Absence::Name), "as for the C library");
        for code in [Refused, ServFail] {
            assert_eq!(verdict(code, vec![a("m.test.", 1, 1)], vec![]), Verdict::Refusal(code));
        }
    }
}
