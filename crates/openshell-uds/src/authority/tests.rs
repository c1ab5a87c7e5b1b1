//! What is mended, what is left alone, and that how the bytes are split makes no difference.

use super::*;

/// A frame of that type, flags and payload, on stream 1.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
    frame.extend_from_slice(payload);
    frame
}

/// A literal field with incremental indexing, its name from the static table.
fn indexed(index: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).expect("a short value");
    assert!(length < 0x7f);
    [&[0x40 | index, length][..], value].concat()
}

/// A literal field without indexing, its name spelt out.
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |text: &[u8]| u8::try_from(text.len()).expect("a short text");
    [&[0x00, length(name)][..], name, &[length(value)], value].concat()
}

/// The preface, an empty SETTINGS, and these frames.
fn connection(frames: &[Vec<u8>]) -> Vec<u8> {
    [&PREFACE[..], &frame(4, 0, &[]), &frames.concat()].concat()
}

fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    Mender::new().mend(&mut bytes);
    bytes
}

const METHOD_AND_SCHEME: [u8; 2] = [0x83, 0x86];

#[test]
fn the_authority_of_a_path_is_mended_and_nothing_else() {
    let path = indexed(4, b"/openshell.v1.OpenShell/Health%2F");
    let block =
        |authority: &[u8]| [&METHOD_AND_SCHEME[..], &path, authority, &literal(b"te", b"a%2Fb")].concat();
    for (sent, wanted) in [
        (indexed(1, b"tmp%2Fg.sock"), indexed(1, b"tmp-2Fg.sock")),
        (literal(b":authority", b"%2F%2F"), literal(b":authority", b"-2F-2F")),
        (indexed(1, b"localhost"), indexed(1, b"localhost")),
        // As grpc-java has it.
        (indexed(1, b"/tmp/g.sock"), indexed(1, b"-tmp-g.sock")),
        // Without indexing, and never indexed.
        ([&[0x01, 3][..], b"a%b"].concat(), [&[0x01, 3][..], b"a-b"].concat()),
        ([&[0x11, 3][..], b"a%b"].concat(), [&[0x11, 3][..], b"a-b"].concat()),
        // Huffman-coded values pass as they are.
        ([&[0x41, 0x83][..], b"a%b"].concat(), [&[0x41, 0x83][..], b"a%b"].concat()),
        (literal(b":authoritx", b"%"), literal(b":authoritx", b"%")),
        (literal(b":authority2", b"%"), literal(b":authority2", b"%")),
    ] {
        let sent = connection(&[frame(HEADERS, END_HEADERS, &block(&sent))]);
        let wanted = connection(&[frame(HEADERS, END_HEADERS, &block(&wanted))]);
        assert_eq!(mended(&sent), wanted);
    }
}

#[test]
fn padding_priority_and_continuations_are_seen_through() {
    let block = [&METHOD_AND_SCHEME[..], &indexed(1, b"run%2Fx%2Fg.sock")].concat();
    let wanted = [&METHOD_AND_SCHEME[..], &indexed(1, b"run-2Fx-2Fg.sock")].concat();
    let all = |block: &[u8]| {
        let lead = [&[3_u8][..], &[0, 0, 0, 0, 16]].concat();
        let padded = [&lead[..], &block[..9], b"%%%"].concat();
        connection(&[
            frame(HEADERS, PADDED | PRIORITY, &padded),
            frame(CONTINUATION, 0, &block[9..12]),
            frame(CONTINUATION, 0, &[]),
            frame(CONTINUATION, END_HEADERS, &block[12..]),
            frame(0, 0, b"data with a % in it"),
        ])
    };
    assert_eq!(mended(&all(&block)), all(&wanted));
}

#[test]
fn a_long_authority_has_a_long_length() {
    let value = vec![b'%'; 300];
    let field = |value: &[u8]| [&[0x41, 0x7f, 0xad, 0x01][..], value].concat();
    let all = |value: &[u8]| connection(&[frame(HEADERS, END_HEADERS, &field(value))]);
    assert_eq!(mended(&all(&value)), all(&vec![b'-'; 300]));
}

#[test]
fn later_requests_are_mended_only_where_the_first_one_needed_it() {
    let all = |first: &[u8], second: &[u8]| {
        connection(&[
            frame(HEADERS, END_HEADERS, &indexed(1, first)),
            frame(HEADERS, END_HEADERS, &indexed(1, second)),
        ])
    };
    assert_eq!(mended(&all(b"a%", b"b%")), all(b"a-", b"b-"));
    assert_eq!(mended(&all(b"a", b"b%")), all(b"a", b"b%"));
}

#[test]
fn what_is_not_http2_passes_as_it_is() {
    for bytes in [
        &b"GET /100%25 HTTP/1.1\r\nHost: a%2Fb\r\n\r\n"[..],
        &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(CONTINUATION, 4, &indexed(1, b"a%"))]
            .concat(),
        &connection(&[frame(HEADERS, PADDED | END_HEADERS, &[200, 0x41, 1, b'%'])]),
    ] {
        assert_eq!(mended(bytes), bytes);
    }
}

/// A small generator (xorshift), so that a failure can be repeated.
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn how_the_bytes_are_split_makes_no_difference() {
    let block =
        [&METHOD_AND_SCHEME[..], &literal(b":authority", b"%2Frun%2Fg"), &indexed(4, b"/a%")].concat();
    let sent = connection(&[
        frame(HEADERS, 0, &block[..5]),
        frame(CONTINUATION, END_HEADERS, &block[5..]),
        frame(6, 0, &[0; 8]),
        frame(HEADERS, END_HEADERS | PRIORITY, &[&[0, 0, 0, 0, 1][..], &indexed(1, b"%%")].concat()),
    ]);
    let whole = mended(&sent);
    assert_ne!(whole, sent);
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..2000 {
        let (mut bytes, mut mender, mut from) = (sent.clone(), Mender::new(), 0);
        while from < bytes.len() {
            let count = 1 + usize::try_from(random(&mut seed) % 7).expect("small");
            let to = (from + count).min(bytes.len());
            mender.mend(&mut bytes[from..to]);
            from = to;
        }
        assert_eq!(bytes, whole);
    }
}

#[test]
fn random_bytes_never_harm() {
    let mut seed = 7;
    for round in 0..2000_usize {
        let mut bytes = if round % 2 == 0 { connection(&[]) } else { Vec::new() };
        let noise: Vec<u8> = (0..200).map(|_| random(&mut seed).to_le_bytes()[0]).collect();
        // Half of them look like header frames, so that the walk gets far.
        if round % 4 == 0 {
            bytes.extend(frame(HEADERS, noise[0], &noise));
        } else {
            bytes.extend(noise);
        }
        let out = mended(&bytes);
        let changed = bytes.iter().zip(&out).filter(|(before, after)| before != after);
        assert_eq!(out.len(), bytes.len());
        assert!(changed.clone().all(|(before, after)| matches!((*before, *after), (b'%' | b'/', b'-'))));
    }
}

/// What gRPC's C core 58 (grpcio 1.85.1) sent to a server that only acknowledged its settings, with another path of
/// the same length put in place of the socket's: two calls, each cancelled at its deadline. The second
/// names its authority by the index that the first one gave it.
#[test]
fn a_recorded_client_is_mended_once_and_to_the_byte() {
    let sent = include_bytes!("grpc-core-58.bin");
    let mut wanted = sent.to_vec();
    let path = b"run%2Fopenshell%2Fgw.sock";
    let at = sent.windows(path.len()).position(|window| window == path).expect("the authority");
    wanted[at..at + path.len()].copy_from_slice(b"run-2Fopenshell-2Fgw.sock");
    assert_eq!(mended(sent), wanted);
    for size in 1..40 {
        let (mut bytes, mut mender) = (sent.to_vec(), Mender::new());
        bytes.chunks_mut(size).for_each(|chunk| mender.mend(chunk));
        assert_eq!(bytes, wanted, "{size} bytes at a time");
    }
}

/// What other encoders send before and between: size updates (RFC 7541, section 6.3), names by dynamic index, PRIORITY and
/// unknown frames, and trailers.
#[test]
fn size_updates_dynamic_names_and_trailers_are_seen_through() {
    let all = |authority: &[u8]| {
        let first = [
            &[0x20, 0x3f, 0xe1, 0x1f][..],
            &METHOD_AND_SCHEME,
            &literal(b"x-a", b"1%2"),
            // By a name of the dynamic table, index 62 and so in two bytes.
            &[0x7f, 0x00, 1, b'%', 0x0f, 0x2f, 1, b'/'],
            &indexed(1, authority),
        ]
        .concat();
        let trailers = [&[0xbe][..], &literal(b"x-t", b"%")].concat();
        connection(&[
            frame(2, 0, &[0, 0, 0, 0, 16]),
            frame(0xfa, 0, b"whatever%"),
            frame(HEADERS, END_HEADERS, &first),
            frame(0, 0x8, b"\x02data%%%"),
            frame(HEADERS, END_HEADERS | 1, &trailers),
            frame(HEADERS, END_HEADERS, &indexed(1, authority)),
        ])
    };
    assert_eq!(mended(&all(b"a%2Fb")), all(b"a-2Fb"));
}
