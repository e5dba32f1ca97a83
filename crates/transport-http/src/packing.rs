//! Packs the body of a request.
use crate::Compression;
use bytes::Bytes;
use std::io::{self, Write as _};

/// Below this, packing costs more than it saves.
const MIN_PACKED: usize = 1024;

/// The packed body and the name of its encoding; `None` where it goes as it is.
pub(crate) fn pack(compression: Compression, body: &[u8]) -> io::Result<Option<(Bytes, &'static str)>> {
    if body.len() < MIN_PACKED {
        return Ok(None);
    }
    Ok(match compression {
        Compression::None => None,
        Compression::Gzip => {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            packer.write_all(body)?;
            Some((packer.finish()?.into(), "gzip"))
        }
        Compression::Zstd => Some((
            zstd::bulk::compress(body, zstd::DEFAULT_COMPRESSION_LEVEL)?.into(),
            "zstd",
        )),
    })
}
