//! The faults that a provider meets, row by row, each with the test that plays it. In all of them a poll fails in one line
//! and the next good answer is taken. No fault may be missing, and no row may name a test that is gone.

use std::fs;

/// Faults of EC2 and its credentials: the situation and the test that plays it. A situation that no test can play begins
/// with a dash, and has the reason in place of the test.
const AWS: &[(&str, &str)] = &[
    ("no credentials anywhere", "credentials_that_cannot_be_had"),
    ("the instance has no role", "an_instance_without_a_role"),
    ("a profile that is named but missing", "credentials_that_cannot_be_had"),
    ("a broken configuration file", "credentials_that_cannot_be_had"),
    (
        "a web identity file that is missing, ECS credentials that are refused",
        "credentials_that_cannot_be_had",
    ),
    ("empty variables", "found_where_aws_tools_find"),
    ("half of an access key", "the_error_names_the_place"),
    ("a region that is none", "the_error_names_the_place"),
    ("STS is silent, refuses, or is not there", "the_error_names_the_place"),
    ("a credential_process that fails", "the_error_names_the_place"),
    ("a credential_process that hangs", "a_credential_process_that_hangs_is_killed"),
    ("a proxy that refuses, or is not there", "the_error_names_the_place"),
    ("a CA bundle of one's own", "a_bundle_of_certificates"),
    ("this host's clock", "a_clock_that_is_wrong"),
    ("no region", "no_region_anywhere"),
    ("no region and no role at first, and then both", "a_region_and_a_role_that_come_late_are_found"),
    ("a wrong secret, an unknown key", "signatures_and_permissions"),
    ("no permission", "answers_that_are_no_list"),
    ("expired credentials, a wrong clock", "answers_that_are_no_list"),
    ("a region that is not enabled", "answers_that_are_no_list"),
    ("throttled", "answers_that_are_no_list"),
    ("5xx", "answers_that_are_no_list"),
    ("200 with HTML", "answers_that_are_no_list"),
    ("the connection is closed", "answers_that_are_no_list"),
    ("the body is cut short", "answers_that_are_no_list"),
    ("refused", "endpoints_that_cannot_be_reached"),
    ("a black hole", "an_endpoint_behind_a_black_hole"),
    ("an unknown host", "endpoints_that_cannot_be_reached"),
    ("TLS to a plain port", "endpoints_that_cannot_be_reached"),
    ("a silent server", "an_endpoint_that_says_nothing"),
    ("an endpoint that is no URL", "values"),
    ("the same page token twice", "pages_without_end"),
    ("ever new page tokens", "pages_without_end"),
    ("a page token is refused half way", "a_page_that_fails_half_way_is_no_list"),
    ("no CA bundle", "an_endpoint_whose_certificate_nobody_vouches_for"),
];

/// Faults of name servers, in rows like those of [`AWS`].
const DNS: &[(&str, &str)] = &[
    ("the service's name is an alias", "services"),
    ("aliases in a circle", "services"),
    ("no addresses beside the SRV records", "a_cache_in_between"),
    ("a target in a zone that the server refuses or cannot serve", "services"),
    ("a target that does not exist", "services"),
    ("a target of `.`: not offered, which is no error", "services"),
    ("NXDOMAIN", "a_name_server_that_is_mended_is_believed_again"),
    ("NODATA", "a_name_server_that_is_mended_is_believed_again"),
    ("SERVFAIL", "a_name_server_that_is_mended_is_believed_again"),
    ("REFUSED", "a_name_server_that_is_mended_is_believed_again"),
    ("truncated, so asked again by TCP", "name_servers_that_misbehave"),
    ("several name servers, of which some fail", "what_the_c_library_finds_is_found"),
    ("several name servers, all of which fail", "the_error_says_whose_fault_it_is"),
    ("a search list", "a_search_list_is_tried_on_request"),
    ("records of other names, port 0, an address that no host has", "what_cannot_be_a_seed_is_left_out"),
    ("a time to live of any length", "a_time_to_live_is_as_the_server_gave_it"),
    ("- more than 100 records behind BIND", "it says SERVFAIL, like others"),
    ("a closed port", "nobody_listens_at_the_name_server"),
    ("a silent server", "a_name_server_that_is_mended_is_believed_again"),
    ("lost packets", "name_servers_that_misbehave"),
    ("a wrong id", "a_name_server_that_is_mended_is_believed_again"),
    ("garbage", "a_name_server_that_is_mended_is_believed_again"),
    ("A is answered, AAAA is not", "name_servers_that_misbehave"),
    ("A is answered, AAAA is refused", "half_an_answer_is_taken_and_the_other_half_is_a_warning"),
    ("an empty /etc/resolv.conf", "the_error_says_whose_fault_it_is"),
    ("a name that is none", "dns"),
    ("a server that was gone", "a_server_that_was_gone_is_asked_again"),
    ("a change while it runs", "a_change_shows_at_the_next_poll"),
];

#[test]
fn every_fault_is_played_by_a_test_that_exists() {
    let folders =
        ["tests", "tests/aws", "tests/dns"].map(|folder| format!("{}/{folder}", env!("CARGO_MANIFEST_DIR")));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    let sources = paths.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    let text: String = sources.map(|path| fs::read_to_string(path).unwrap()).collect();
    let text = text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let is_there = |test: &str| {
        ["#[test]\n", "#[tokio::test]\n"].iter().any(|attribute| {
            ["", "async "].iter().any(|kind| text.contains(&format!("{attribute}{kind}fn {test}() {{")))
        })
    };
    for (row, test) in AWS.iter().chain(DNS).filter(|(row, _)| !row.starts_with("- ")) {
        assert!(is_there(test), "{row}: no test is called {test}");
    }
    assert!(!is_there("every_fault_is_played_by_nobody"));
}
