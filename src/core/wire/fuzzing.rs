//! Fuzz target for the envelope of agents that have a key.

use zeroize::Zeroizing;

use super::{Admitted, Encryption, Freshness, Key, Keyring, Kind, Wire, packet_id::BOOT};
use crate::node::ClusterName;

fn wire(boot: u8, key: u8) -> Wire {
    let cluster: ClusterName = "chronik".parse().expect("it is a name");
    let keyring = Keyring::single(Key::new(Zeroizing::new([key; Key::LEN])));
    Wire::new(cluster, Some(Encryption { keyring, boot: [boot; BOOT] }))
}

/// Checks that bytes from a sender without the key do not open, and that a sealed packet opens at its receivers only,
/// is heard once, and not at all once a byte of it is another one. The payload of a request may be anything.
pub(crate) fn sealed(data: &[u8]) {
    let (mut a, mut b, stranger) = (wire(1, 1), wire(2, 1), wire(3, 2));
    let addr = ([127, 0, 0, 1], 7946).into();
    assert!(b.open(data).is_err(), "a packet opens that nobody sealed");
    let (choice, payload) = data.split_first().unwrap_or((&0, &[]));
    let kind = Kind::ALL[usize::from(*choice) % Kind::ALL.len()];
    let packet = a.seal(addr, kind, payload);
    let opened = b.open(&packet).expect("it was sealed for this cluster");
    assert_eq!((opened.kind, &*opened.payload), (kind, payload));
    assert!(matches!(b.admit_request(&opened), Admitted::Doubtful), "a request counts that proves nothing");
    assert_eq!(b.check_and_mark(opened.origin), Freshness::Stranger);
    b.admit(opened.origin);
    assert_eq!(b.check_and_mark(opened.origin), Freshness::Replayed);
    assert!(stranger.open(&packet).is_err(), "it opens under another key");
    let mut changed = packet.to_vec();
    let at = payload.iter().fold(0_usize, |at, byte| at.wrapping_mul(31).wrapping_add(usize::from(*byte)))
        % changed.len();
    changed[at] ^= choice.wrapping_add(1).max(1);
    assert!(b.open(&changed).is_err(), "byte {at} may be another one");
    let (request, asked) = a.seal_request(addr, None, payload);
    let opened = b.open(&request).expect("it was sealed for this cluster");
    let challenge = b.seal_reply(Kind::Challenge, &[], opened.origin);
    let opened = a.open_reply(&challenge, asked).expect("it answers that request");
    a.note_answer(addr, opened.origin);
    let (request, _) = a.seal_request(addr, None, payload);
    let opened = b.open(&request).expect("it was sealed for this cluster");
    let admitted = b.admit_request(&opened);
    assert!(
        matches!(admitted, Admitted::New(asked) if asked == payload),
        "a request with its proof does not count"
    );
}
