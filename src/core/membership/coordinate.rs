//! Network coordinates: points in a space in which distance is round-trip time.

use std::time::Duration;

/// Dimensions of the space, beside the height. Three and a height place the hosts of the Internet about as
/// well as more do (Dabek et al., "Vivaldi", SIGCOMM 2004, section 5.4).
pub const DIMENSIONS: usize = 3;

/// Greatest distance from the origin along any axis: half the way around the world and back takes a tenth of it.
const FARTHEST_US: i32 = 2_000_000;
/// The unit of the height, so that it fits two bytes: 655 ms of access line at most.
const HEIGHT_UNIT_US: u32 = 10;
/// The unit of the error, so that it fits one byte.
const ERROR_UNITS: f64 = 255.0;
const US_PER_SECOND: f64 = 1e6;

/// A node's place in the network, as it travels and as it is shown: two of them estimate the round trip between their
/// nodes. Whole numbers, so that no value can be infinite or undefined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coordinate {
    position_us: [i32; DIMENSIONS],
    height_units: u16,
    error_units: u8,
}

/// Error: a coordinate that no node can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a coordinate that is no finite number of seconds, or more than 2 s from the origin")]
pub struct ImpossibleCoordinate;

impl Coordinate {
    /// Length of [`Self::to_bytes`], in bytes.
    pub const LEN: usize = DIMENSIONS * 3 + 2 + 1;

    /// The coordinate at `position` with this height, both in seconds; `error` is the expected
    /// error of estimates, as a share of the round trip.
    ///
    /// # Errors
    /// A number is not finite, or too large.
    pub fn new(position: [f64; DIMENSIONS], height: f64, error: f64) -> Result<Self, ImpossibleCoordinate> {
        let position_us = position.map(|seconds| seconds * US_PER_SECOND);
        let height_units = height * US_PER_SECOND / f64::from(HEIGHT_UNIT_US);
        // NaN is in no range.
        let possible = position_us.iter().all(|us| us.abs() <= f64::from(FARTHEST_US))
            && (0.0..=f64::from(u16::MAX)).contains(&height_units)
            && (0.0..=1.0).contains(&error);
        if !possible {
            return Err(ImpossibleCoordinate);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the ranges are checked")]
        Ok(Self {
            position_us: position_us.map(|us| us.round() as i32),
            height_units: height_units.round() as u16,
            error_units: (error * ERROR_UNITS).round() as u8,
        })
    }

    /// The position along each axis, in seconds.
    pub fn position(&self) -> [f64; DIMENSIONS] {
        self.position_us.map(|us| f64::from(us) / US_PER_SECOND)
    }

    /// The way from the node to the core of the network, in seconds; every round trip of it takes that on top.
    pub fn height(&self) -> f64 {
        f64::from(self.height_units) * f64::from(HEIGHT_UNIT_US) / US_PER_SECOND
    }

    /// The expected error of its estimates, by the node's own account: a share of the round trip, 1 if it knows
    /// nothing.
    pub fn error(&self) -> f64 {
        f64::from(self.error_units) / ERROR_UNITS
    }

    /// The estimated round trip between the two nodes.
    pub fn round_trip(&self, other: &Self) -> Duration {
        let (ours, theirs) = (self.position(), other.position());
        Duration::from_secs_f64(distance(&ours, &theirs) + self.height() + other.height())
    }

    /// The coordinate in its shortest form: three bytes a dimension, two for the height, one for the error.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let [[_, a, b, c], [_, d, e, f], [_, g, h, i]] = self.position_us.map(i32::to_be_bytes);
        let [high, low] = self.height_units.to_be_bytes();
        [a, b, c, d, e, f, g, h, i, high, low, self.error_units]
    }

    /// Reads the bytes of [`Self::to_bytes`].
    ///
    /// # Errors
    /// The coordinate is too far from the origin.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, ImpossibleCoordinate> {
        let [a, b, c, d, e, f, g, h, i, high, low, error_units] = *bytes;
        // The sign is that of the first byte of three.
        let position_us =
            [[a, b, c], [d, e, f], [g, h, i]].map(|[a, b, c]| i32::from_be_bytes([a, b, c, 0]) >> 8);
        if position_us.iter().any(|us| us.abs() > FARTHEST_US) {
            return Err(ImpossibleCoordinate);
        }
        Ok(Self { position_us, height_units: u16::from_be_bytes([high, low]), error_units })
    }
}

/// The distance between two positions, in seconds.
pub fn distance(one: &[f64; DIMENSIONS], other: &[f64; DIMENSIONS]) -> f64 {
    one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_are_read_as_written_or_refused(bytes: [u8; Coordinate::LEN]) {
            match Coordinate::from_bytes(&bytes) {
                Ok(coordinate) => {
                    prop_assert_eq!(coordinate.to_bytes(), bytes);
                    let (position, height, error) = (coordinate.position(), coordinate.height(), coordinate.error());
                    prop_assert_eq!(Coordinate::new(position, height, error), Ok(coordinate));
                    prop_assert!(coordinate.round_trip(&coordinate) < Duration::from_secs(2));
                }
                Err(ImpossibleCoordinate) => prop_assert!(
                    bytes.chunks(3).take(3).any(|three| three[0].abs_diff(0) >= 0x1e && three[0] <= 0xe1)
                ),
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let new = |axis, height, error| Coordinate::new([0.0, axis, 0.0], height, error);
        assert!(new(-1.9, 0.6, 1.0).is_ok());
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 2.1, -2.1, 1e300] {
            assert_eq!(new(wrong, 0.0, 0.0), Err(ImpossibleCoordinate), "{wrong}");
        }
        for wrong in [f64::NAN, f64::INFINITY, -0.1, 0.7] {
            assert_eq!(new(0.0, wrong, 0.0), Err(ImpossibleCoordinate), "{wrong}");
        }
        for wrong in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
            assert_eq!(new(0.0, 0.0, wrong), Err(ImpossibleCoordinate), "{wrong}");
        }
        let far = [0x7f, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Coordinate::from_bytes(&far), Err(ImpossibleCoordinate));
        let far = [0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Coordinate::from_bytes(&far), Err(ImpossibleCoordinate));
    }

    #[test]
    fn a_round_trip_is_the_distance_and_both_heights() {
        let one = Coordinate::new([0.003, 0.0, 0.0], 0.001, 0.1).unwrap();
        let other = Coordinate::new([0.0, -0.004, 0.0], 0.002, 0.1).unwrap();
        assert_eq!(one.round_trip(&other), Duration::from_millis(8));
        assert_eq!(other.round_trip(&one), Duration::from_millis(8));
    }
}
