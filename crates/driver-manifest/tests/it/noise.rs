//! Whatever the bytes are, there is an assembly or a diagnostic, and never a panic.

use driver_manifest::{Context, Outcome, Style};

use crate::support::{bytes, fixtures};

fn read(bytes: &[u8], context: &Context) -> Outcome {
    let outcome = driver_manifest::read("drivers.toml", bytes, context);
    assert!(
        outcome.assembly.is_some() || outcome.report.errors() > 0,
        "neither: {:?}",
        String::from_utf8_lossy(bytes)
    );
    outcome
}

/// Renders too: that is where spans are used to slice.
fn survives(bytes: &[u8], context: &Context) {
    let report = read(bytes, context).report;
    let _ = (report.render(Style::Plain), report.to_json());
}

/// Numbers that look like chance and are the same each time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("it is below a usize")
    }
}

#[test]
fn every_truncation() {
    let whole = bytes(&fixtures().join("good/whole.toml"));
    for end in 0..whole.len() {
        survives(&whole[..end], &Context::default());
    }
}

#[test]
fn bytes_changed_removed_and_put_in() {
    let whole = bytes(&fixtures().join("good/whole.toml"));
    let pieces: &[&[u8]] = &[
        b"\"",
        b"'",
        b"[",
        b"]",
        b"[[",
        b"{",
        b"}",
        b"=",
        b"\n",
        b"\r",
        b"#",
        b".",
        b"\xff",
        b"\0",
        b"\"\"\"",
        "é".as_bytes(),
    ];
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..1500 {
        let mut bytes = whole.clone();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(bytes.len());
            match numbers.below(3) {
                0 => bytes[at] = u8::try_from(numbers.below(256)).expect("it is below 256"),
                1 => drop(bytes.drain(at..(at + 1 + numbers.below(9)).min(bytes.len()))),
                _ => {
                    let piece = pieces[numbers.below(pieces.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
            }
        }
        survives(&bytes, &Context::default());
        survives(&bytes, &Context::overlay());
    }
}

#[test]
fn lines_in_any_order() {
    let whole = String::from_utf8(bytes(&fixtures().join("good/whole.toml"))).expect("it is UTF-8");
    let lines: Vec<&str> = whole.lines().collect();
    let mut numbers = Numbers(42);
    for _ in 0..500 {
        let mixed: Vec<&str> = (0..20).map(|_| lines[numbers.below(lines.len())]).collect();
        survives(mixed.join("\n").as_bytes(), &Context::overlay());
    }
}

#[test]
fn garbage() {
    let mut numbers = Numbers(7);
    for length in 0..400 {
        let bytes: Vec<u8> =
            (0..length).map(|_| u8::try_from(numbers.below(256)).expect("it is below 256")).collect();
        survives(&bytes, &Context::default());
    }
}

#[test]
fn deep_and_long() {
    survives("[".repeat(100_000).as_bytes(), &Context::default());
    survives(format!("a = {}", "[".repeat(50_000)).as_bytes(), &Context::default());
    survives(format!("a = {}", "{b=".repeat(20_000)).as_bytes(), &Context::default());
    survives(format!("{}a = 1", "a.".repeat(5_000)).as_bytes(), &Context::default());
    survives(format!("x = \"{}\"", "y".repeat(1_000_000)).as_bytes(), &Context::default());
}

#[test]
fn many_errors_are_all_reported() {
    let many = "[[driver]]\nnmae = 1\n".repeat(300);
    let report = read(many.as_bytes(), &Context::default()).report;
    assert!(report.errors() >= 600);
    assert!(report.render(Style::Plain).lines().count() > 1800);
}

#[test]
fn twice_the_same() {
    let bytes = "[[driver]]\nname = \"a\"\nkind = 3\nx = [\n".as_bytes();
    assert_eq!(read(bytes, &Context::default()), read(bytes, &Context::default()));
}
