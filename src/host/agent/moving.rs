//! The address of this host, as it comes and changes while an agent runs.

use std::{net::SocketAddr, time::Duration};

use crate::{
    advertise::{self, Advertised},
    config::Config,
};

/// Interval of the looks at this host's addresses, where the one for others is worked out.
const LOOK_FOR_ADDRESSES_EVERY: Duration = Duration::from_secs(2);
/// Completes when this host has another address for the others than `now`, in two looks one after the other.
pub(super) async fn await_move(config: &Config, now: SocketAddr) -> Advertised {
    let mut seen = None;
    loop {
        tokio::time::sleep(LOOK_FOR_ADDRESSES_EVERY).await;
        // A host that does not tell its addresses has told them at the start, and may again.
        let Ok(interfaces) = advertise::interfaces() else { continue };
        let next = advertise::moved(config.advertise.as_ref(), config.bind, now, &interfaces);
        match next {
            Some(next) if seen.as_ref() == Some(&next) => return next,
            next => seen = next,
        }
    }
}
