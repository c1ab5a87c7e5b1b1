//! Messages of a channel, encoded.

use bytes::{BufMut, Bytes, BytesMut};
use openshell_proto::relay::v1alpha1::from_supervisor::Frame;
use openshell_proto::relay::v1alpha1::{Exited, Failed, FromSupervisor, Started};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::process::lines::Stream;

/// `FromSupervisor.stdout` and `.stderr`.
const STDOUT: u32 = 2;
const STDERR: u32 = 3;

/// A piece of output; written by hand, since the bytes are then copied once.
pub(crate) fn output(stream: Stream, bytes: &[u8]) -> Bytes {
    // One byte of key, up to ten of length.
    let mut frame = BytesMut::with_capacity(bytes.len() + 11);
    let tag = match stream {
        Stream::Stdout => STDOUT,
        Stream::Stderr => STDERR,
    };
    encode_key(tag, WireType::LengthDelimited, &mut frame);
    encode_varint(bytes.len() as u64, &mut frame);
    frame.put_slice(bytes);
    frame.freeze()
}

/// It runs.
pub(crate) fn started(pid: i32) -> Bytes {
    encoded(Frame::Started(Started { pid }))
}

/// It has ended.
pub(crate) fn exited(code: i32) -> Bytes {
    encoded(Frame::Exited(Exited { code }))
}

/// It was not started: why, and the code of a shell that fails in the same way.
pub(crate) fn failed(message: impl Into<String>, code: i32) -> Bytes {
    encoded(Frame::Failed(Failed { message: message.into(), code }))
}

fn encoded(frame: Frame) -> Bytes {
    FromSupervisor { frame: Some(frame) }.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_by_hand_is_what_prost_reads() {
        for (stream, bytes) in [(Stream::Stdout, vec![7; 300]), (Stream::Stderr, Vec::new())] {
            let frame = FromSupervisor::decode(output(stream, &bytes)).expect("a message").frame;
            let bytes = Bytes::from(bytes);
            let expected = match stream {
                Stream::Stdout => Frame::Stdout(bytes),
                Stream::Stderr => Frame::Stderr(bytes),
            };
            assert_eq!(frame, Some(expected));
        }
    }
}
