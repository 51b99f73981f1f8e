//! Room for metadata: a bound on all of it, so that a state is one frame and memory has an end.

use crate::gossip::record::Record;

/// Upper bound on the bytes of all metadata with what stands beside it: enough for 10,000 members with 350 bytes each.
const MAX_BYTES: usize = 6 << 20;
/// Bytes beside the metadata of an entry in a state: the member, its life, the number of its process and the signature.
const BESIDE: usize = 280;

/// The room that is taken.
#[derive(Debug, Default)]
pub(super) struct Room(usize);

impl Room {
    /// Takes room for a record in the place of the one `before`, if there is any left.
    pub(super) fn try_take(&mut self, record: &Record, before: Option<&Record>) -> bool {
        let (new, old) = (cost(record), before.map_or(0, cost));
        // Two records of one owner at once count twice, until all are counted again.
        let bytes = (self.0 + new).saturating_sub(old);
        let fits = bytes <= MAX_BYTES || new <= old;
        if fits {
            self.0 = bytes;
        }
        fits
    }

    /// Counts all records again.
    pub(super) fn recount<'a>(&mut self, records: impl Iterator<Item = &'a Record>) {
        self.0 = records.map(cost).sum();
    }
}

fn cost(record: &Record) -> usize {
    BESIDE + record.bytes().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::fixture::record;

    #[test]
    fn there_is_room_for_so_much_and_whoever_is_known_keeps_its_place() {
        let (mut room, one) = (Room::default(), record(2, 1));
        let fitting = MAX_BYTES / cost(&one);
        assert_eq!((0..fitting + 9).filter(|_| room.try_take(&one, None)).count(), fitting);
        assert!(room.try_take(&record(2, 2), Some(&one)));
        room.recount([&*one].into_iter());
        assert!(room.try_take(&one, None));
    }
}
