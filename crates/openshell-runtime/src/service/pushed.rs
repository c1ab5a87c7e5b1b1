//! `PushSandboxLogs` with a codec of its own, which counts before it reads: a line that says nothing has two bytes on its
//! way here and a hundred times that once it is here, and so has a field of one.

use std::future::Future;
use std::pin::Pin;

use openshell_proto::openshell::v1::{PushSandboxLogsRequest, PushSandboxLogsResponse};
use prost::Message as _;
use prost::bytes::Buf as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{Body as HttpBody, StdError};
use tonic::server::{ClientStreamingService, Grpc};
use tonic::{Request, Status, Streaming};

use super::{Answer, Api};

/// The most bytes of a message. It is no client's request, whose size is the operator's to bound.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// The most lines of a message.
const MOST_LINES: usize = 8192;
/// The most fields of all its lines together: for each line as many as a line has, and some of its own.
const MOST_FIELDS: usize = 16 * MOST_LINES;
/// The number of `PushSandboxLogsRequest.logs`.
const LOGS: u32 = 2;

/// Answers a supervisor that hands over lines.
pub(super) async fn answer<B>(api: Api, request: http::Request<B>) -> http::Response<Body>
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    let grpc = Grpc::new(Lines).apply_max_message_size_config(Some(MAX_MESSAGE), None);
    let mut grpc = grpc;
    grpc.client_streaming(Pushed(api), request).await
}

/// The method, as tonic's server calls it.
struct Pushed(Api);

impl ClientStreamingService<PushSandboxLogsRequest> for Pushed {
    type Response = PushSandboxLogsResponse;
    type Future = Pin<Box<dyn Future<Output = Answer<PushSandboxLogsResponse>> + Send>>;

    fn call(&mut self, request: Request<Streaming<PushSandboxLogsRequest>>) -> Self::Future {
        let api = self.0.clone();
        Box::pin(async move { api.logs_come(request).await })
    }
}

/// The codec, both ways.
#[derive(Debug, Clone, Copy)]
struct Lines;

impl Codec for Lines {
    type Encode = PushSandboxLogsResponse;
    type Decode = PushSandboxLogsRequest;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Lines {
    type Item = PushSandboxLogsResponse;
    type Error = Status;

    fn encode(&mut self, item: PushSandboxLogsResponse, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(to).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Lines {
    type Item = PushSandboxLogsRequest;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<PushSandboxLogsRequest>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        check(&bytes)?;
        let message = PushSandboxLogsRequest::decode(bytes);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Whether a message has no more of anything than it may.
///
/// # Errors
/// `INVALID_ARGUMENT` that says what there is too much of. What cannot be read is left to whoever reads it.
fn check(message: &[u8]) -> Result<(), Status> {
    let (mut lines, mut fields) = (0_usize, 0_usize);
    each_field(message, |number, line| {
        if number == LOGS
            && let Some(line) = line
        {
            lines += 1;
            each_field(line, |_, _| fields += 1);
        }
    });
    let too_many = |count: usize, what: &str, most: usize| {
        Err(Status::invalid_argument(format!("a message of {count} {what}; it may have {most}")))
    };
    if lines > MOST_LINES {
        return too_many(lines, "lines", MOST_LINES);
    }
    if fields > MOST_FIELDS {
        return too_many(fields, "fields of lines", MOST_FIELDS);
    }
    Ok(())
}

/// Calls `told` with the number of each field of a message, and with its bytes where it has a length; up to what cannot be
/// read.
fn each_field(mut message: &[u8], mut told: impl FnMut(u32, Option<&[u8]>)) {
    while !message.is_empty() {
        let Ok((number, wire_type)) = decode_key(&mut message) else { return };
        if wire_type == WireType::LengthDelimited {
            let Ok(length) = decode_varint(&mut message) else { return };
            let split = usize::try_from(length).ok().and_then(|length| message.split_at_checked(length));
            let Some((field, rest)) = split else { return };
            message = rest;
            told(number, Some(field));
        } else {
            told(number, None);
            if skip_field(wire_type, number, &mut message, DecodeContext::default()).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use openshell_proto::openshell::v1::SandboxLogLine;
    use tonic::Code;

    use super::*;

    fn message(logs: Vec<SandboxLogLine>) -> Vec<u8> {
        PushSandboxLogsRequest { sandbox_id: "s".to_owned(), logs }.encode_to_vec()
    }

    #[test]
    fn lines_and_their_fields_are_counted_before_they_are_read() {
        let line = || SandboxLogLine {
            sandbox_id: "s".to_owned(),
            timestamp_ms: 1,
            level: "info".to_owned(),
            target: "stdout".to_owned(),
            message: "hello".to_owned(),
            source: "main".to_owned(),
            fields: (0..4).map(|number| (number.to_string(), "v".to_owned())).collect(),
        };
        assert!(check(&message(vec![line(); MOST_LINES])).is_ok(), "what a supervisor may well say");
        let refused = |bytes: &[u8]| {
            let status = check(bytes).expect_err("too many");
            assert_eq!(status.code(), Code::InvalidArgument);
            status.message().to_owned()
        };
        let empty = message(vec![SandboxLogLine::default(); MOST_LINES + 1]);
        assert_eq!(empty.len(), 3 + 2 * (MOST_LINES + 1));
        assert_eq!(refused(&empty), "a message of 8193 lines; it may have 8192");
        let fields = (0..=MOST_FIELDS).map(|number| (number.to_string(), String::new())).collect();
        let odd = SandboxLogLine { fields, ..SandboxLogLine::default() };
        assert_eq!(refused(&message(vec![odd])), "a message of 131073 fields of lines; it may have 131072");
    }

    #[test]
    fn what_is_no_message_is_left_to_whoever_reads_it() {
        for bytes in [&[][..], &[0x12], &[0x12, 0xff, 0xff], &[0x12, 5, 1], &[0x0b, 0x0c], &[0xff; 64]] {
            assert!(check(bytes).is_ok(), "{bytes:?}");
        }
    }
}
