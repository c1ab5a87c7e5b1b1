//! Damage for files: bits, bytes, numbers at the edges, pieces of the file itself, a cut. The same seed does the same.

/// xorshift64*: the same numbers everywhere, for ever.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; 0 where there is none.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }
}

/// Damages a file that has at least one byte in up to nine places.
pub(crate) fn mutate(file: &mut Vec<u8>, random: &mut Random) {
    const EDGES: [u64; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];
    for _ in 0..=random.below(8) {
        let at = random.below(file.len());
        // Tables lie at the beginning and at the end: half of the damage is done there.
        let at = match random.below(4) {
            0 => at % 512,
            1 => file.len() - 1 - at % 1024.min(file.len()),
            _ => at,
        };
        let at = at.min(file.len().saturating_sub(1));
        match random.below(6) {
            0 | 1 => file[at] ^= 1 << random.below(8),
            2 => file[at] = u8::try_from(random.below(256)).unwrap_or(0),
            3 => {
                let width = [1, 2, 4, 8][random.below(4)];
                let value = EDGES[random.below(EDGES.len())].to_le_bytes();
                let end = (at + width).min(file.len());
                file[at..end].copy_from_slice(&value[..end - at]);
            }
            4 => {
                let (from, length) = (random.below(file.len()), random.below(64));
                let chunk = file[from..(from + length).min(file.len())].to_vec();
                let end = (at + chunk.len()).min(file.len());
                file[at..end].copy_from_slice(&chunk[..end - at]);
            }
            _ if random.below(16) == 0 => file.truncate(at.max(1)),
            _ => {}
        }
    }
}
