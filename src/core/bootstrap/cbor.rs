//! The encoding of the names of `node` in messages: ids as sixteen bytes, the rest as text.

/// A node id as a byte string.
pub(crate) mod node_id {
    use minicbor::{Decoder, Encoder};

    use crate::node::NodeId;

    pub(crate) fn encode<C, W: minicbor::encode::Write>(
        id: &NodeId,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(id.as_bytes())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<NodeId, minicbor::decode::Error> {
        let bytes: [u8; NodeId::LEN] = d.bytes()?.try_into().map_err(minicbor::decode::Error::custom)?;
        NodeId::try_from(bytes).map_err(minicbor::decode::Error::custom)
    }
}

/// An epoch as a number.
pub(super) mod epoch {
    use minicbor::{Decoder, Encoder};

    use crate::node::Epoch;

    pub(crate) fn encode<C, W: minicbor::encode::Write>(
        epoch: &Epoch,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u64(epoch.0)?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Epoch, minicbor::decode::Error> {
        d.u64().map(Epoch)
    }
}

/// A node id that may be missing.
pub(super) mod maybe_node_id {
    use minicbor::{Decoder, Encoder, data::Type};

    use crate::node::NodeId;

    pub(crate) fn encode<C, W: minicbor::encode::Write>(
        id: &Option<NodeId>,
        e: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        match id {
            Some(id) => crate::bootstrap::cbor::node_id::encode(id, e, context),
            None => e.null()?.ok(),
        }
    }

    pub(crate) fn decode<C>(
        d: &mut Decoder<'_>,
        context: &mut C,
    ) -> Result<Option<NodeId>, minicbor::decode::Error> {
        if d.datatype()? == Type::Null {
            d.null()?;
            return Ok(None);
        }
        crate::bootstrap::cbor::node_id::decode(d, context).map(Some)
    }
}

/// Values that print and parse as text: names and addresses.
pub(super) mod text {
    use std::{error::Error, fmt::Display, str::FromStr};

    use minicbor::{Decoder, Encoder};

    pub(crate) fn encode<C, W: minicbor::encode::Write, T: Display>(
        value: &T,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&value.to_string())?.ok()
    }

    pub(crate) fn decode<C, T>(d: &mut Decoder<'_>, _: &mut C) -> Result<T, minicbor::decode::Error>
    where
        T: FromStr<Err: Error + Send + Sync + 'static>,
    {
        d.str()?.parse().map_err(minicbor::decode::Error::custom)
    }
}

/// The id of a server as text.
pub(super) mod server_id {
    use minicbor::{Decoder, Encoder};

    use crate::bootstrap::server_id::ServerId;

    pub(crate) fn encode<C, W: minicbor::encode::Write>(
        id: &ServerId,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&id.to_string())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<ServerId, minicbor::decode::Error> {
        d.str()?.to_owned().try_into().map_err(minicbor::decode::Error::custom)
    }
}

/// Endpoints as a map of text to text.
pub(super) mod endpoints {
    use minicbor::{Decoder, Encoder};

    use crate::node::{Endpoints, MAX_ENDPOINTS, check_endpoint};

    pub(crate) fn encode<C, W: minicbor::encode::Write>(
        endpoints: &Endpoints,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.map(endpoints.len() as u64)?;
        for (name, address) in endpoints {
            e.str(name.as_str())?.str(address)?;
        }
        Ok(())
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Endpoints, minicbor::decode::Error> {
        d.map_iter::<String, String>()?
            .enumerate()
            .map(|(at, entry)| {
                let (name, address) = entry?;
                if at == MAX_ENDPOINTS {
                    return Err(minicbor::decode::Error::message("more endpoints than a node may have"));
                }
                check_endpoint(&address).map_err(minicbor::decode::Error::custom)?;
                Ok((name.try_into().map_err(minicbor::decode::Error::custom)?, address))
            })
            .collect()
    }
}
