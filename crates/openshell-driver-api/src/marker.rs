//! Markers: bytes in a section of their own that say which driver code was linked into a file.
//!
//! A marker proves that the adapter was linked, not what it uses; it is one of several kinds of evidence. On ELF and
//! PE the section is `.osdrv`, on Mach-O `__DATA,__osdrv`. A marker is a text that ends with a NUL: `crate:<package>`
//! from a driver crate, `arm:<name>` from an arm of the generated dispatch.

/// Registers a driver crate's factory: `openshell_driver_api::register!(Docker);` makes `pub static REGISTRATION`
/// and leaves the marker `crate:<package>`.
#[macro_export]
macro_rules! register {
    ($factory:path) => {
        /// This crate's driver, for the gateway and for a program of its own.
        pub static REGISTRATION: $crate::Registration = $crate::Registration {
            package: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            factory: &$factory,
            marker: &MARKER,
        };
        $crate::marker!(MARKER, concat!("crate:", env!("CARGO_PKG_NAME"), "\0"));
    };
}

/// Leaves a marker named `$name` (a static) with the text `$text`, which has to end with a NUL.
#[macro_export]
macro_rules! marker {
    ($name:ident, $text:expr) => {
        #[used]
        #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__osdrv"))]
        #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".osdrv"))]
        static $name: [u8; $text.len()] = $crate::marker::bytes($text);
    };
}

/// Text to a fixed array, for the macros.
///
/// # Panics
/// At compile time, when `N` is not the text's length.
#[must_use]
pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let source = text.as_bytes();
    assert!(source.len() == N, "a marker's array has its text's length");
    let mut out = [0; N];
    let mut i = 0;
    while i < N {
        out[i] = source[i];
        i += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    // The macros themselves are for other crates: a `link_section` of one's own is unsafe code, a foreign macro's is not.
    #[test]
    fn a_marker_is_its_text_with_a_nul() {
        const BYTES: [u8; 18] = super::bytes("crate:some-driver\0");
        assert_eq!(&BYTES, b"crate:some-driver\0");
    }
}
