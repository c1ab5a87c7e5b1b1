//! Packed bytes come out as they went in, or not at all.

use super::*;
use crate::image::layers::Stopper;
use crate::image::tests::build::{Dice, digest, gzip, zstd};

fn slice(bytes: &[u8]) -> Slice {
    let mut file = tempfile::tempfile().expect("a file");
    io::Write::write_all(&mut file, bytes).expect("written");
    Slice::new(Arc::new(file), 0, bytes.len() as u64)
}

fn open(bytes: &[u8], hashed: Hashed, most: u64, stopper: &Stopper) -> Stream {
    Stream::open(slice(bytes), hashed, most, 1, stopper.stop()).expect("a thread")
}

fn through(bytes: &[u8], hashed: Hashed, most: u64) -> Result<(Vec<u8>, String), Trouble> {
    let stopper = Stopper::default();
    let mut stream = open(bytes, hashed, most, &stopper);
    let mut out = Vec::new();
    stream.read_to_end(&mut out).map_err(crate::image::tar::reading)?;
    Ok((out, stream.finish()?))
}

fn data(length: usize) -> Vec<u8> {
    let mut dice = Dice(1);
    (0..length).map(|_| u8::try_from(dice.roll(4)).expect("a byte")).collect()
}

#[test]
fn every_packing_is_known_by_its_content() {
    for length in [1, PIECE, 3 * PIECE + 17] {
        let data = data(length);
        for packed in [data.clone(), gzip(&data), zstd(&data), [gzip(&data[..1]), gzip(&data[1..])].concat()]
        {
            let (out, hash) = through(&packed, Hashed::Packed, u64::MAX).expect("good data");
            assert!(out == data && hash == digest(&packed), "{length}");
            let (_, hash) = through(&packed, Hashed::Unpacked, u64::MAX).expect("good data");
            assert_eq!(hash, digest(&data));
        }
        // Frames of zstd one behind the other, with one in between that is to be skipped.
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let frames = [&zstd(&data)[..], &skipped, &zstd(&data)].concat();
        let (out, _) = through(&frames, Hashed::Packed, u64::MAX).expect("good data");
        assert!(out == [data.clone(), data].concat());
    }
}

#[test]
fn damaged_data_is_told_from_a_damaged_disk() {
    let data = data(2 * PIECE);
    for (name, packed) in [("gzip", gzip(&data)), ("zstd", zstd(&data))] {
        let cut =
            through(&packed[..packed.len() / 2], Hashed::Packed, u64::MAX).expect_err("cut").to_string();
        assert_eq!(cut, format!("its {name} data ends too early: it is truncated"));
        let mut bent = packed.clone();
        let last = bent.len() - 3;
        bent[last] ^= 0x55;
        let bent = through(&bent, Hashed::Packed, u64::MAX).expect_err("bent").to_string();
        assert!(bent.starts_with(&format!("its {name} data is damaged")), "{bent}");
    }
}

#[test]
fn a_bomb_is_put_out() {
    let bomb = gzip(&vec![0; 64 * PIECE]);
    assert!(bomb.len() < PIECE);
    let trouble = through(&bomb, Hashed::Packed, 8 * PIECE as u64).expect_err("a bomb");
    assert!(matches!(trouble, Trouble::TooLarge { .. }), "{trouble}");
}

#[test]
fn nobody_waits_no_more() {
    let stopper = Stopper::default();
    let mut stream = open(&data(32 * PIECE), Hashed::Packed, u64::MAX, &stopper);
    drop(stopper);
    let error = stream.read_to_end(&mut Vec::new()).map_err(crate::image::tar::reading).expect_err("stopped");
    assert!(matches!(error, Trouble::Stopped), "{error}");
}

#[test]
fn leaps_leave_out_what_they_pass() {
    let data = data(20_000);
    let mut leaps = Leaps::new(slice(&data));
    let mut byte = [0];
    let mut at = 0;
    for step in [0, 1, 100, 5000, 4095, 4096, 6000] {
        leaps.pass(step).expect("inside");
        at += step;
        assert_eq!(leaps.position(), at);
        leaps.read_exact(&mut byte).expect("a byte");
        assert_eq!(byte[0], data[usize::try_from(at).expect("small")]);
        at += 1;
    }
    assert!(leaps.pass(20_000).is_err());
}
