//! Markers: bytes in a section of their own that say which driver code was linked into a file.
//!
//! A marker proves that the adapter was linked, not what it uses; it is one of several kinds of evidence. On ELF and
//! PE the section is `.osdrv`, on Mach-O `__DATA,__osdrv`. A marker is a text that ends with a NUL: `crate:<package>`
//! from a driver crate, `arm:<name>` from an arm of the generated dispatch.
//!
//! A program's report of itself lies in a section of its own as well, so that it can be read without running a file that
//! may not be trusted: `.osgw`, on Mach-O `__DATA,__osgw`, one line of JSON that ends with a NUL:
//! `{"schema":1,"drivers":["docker"],"options":[],"version":"0.1.0"}`. Its parts are behind the conditions of the arms.

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

/// Leaves the report named `$name` (a static) of a program with these drivers and options, both `&[&str]`, and the
/// version of the package that calls it.
#[macro_export]
macro_rules! report {
    ($name:ident, $drivers:expr, $options:expr) => {
        #[used]
        #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__osgw"))]
        #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".osgw"))]
        static $name: [u8; $crate::marker::report_len($drivers, $options, env!("CARGO_PKG_VERSION"))] =
            $crate::marker::report($drivers, $options, env!("CARGO_PKG_VERSION"));
    };
}

/// The length of a [`report`].
#[must_use]
pub const fn report_len(drivers: &[&str], options: &[&str], version: &str) -> usize {
    Writer::<0>::write(drivers, options, version).at
}

/// A program's report of itself as a fixed array, for the macro. Names and versions need no escape in JSON.
///
/// # Panics
/// At compile time, when `N` is not [`report_len`] or a name would need an escape.
#[must_use]
pub const fn report<const N: usize>(drivers: &[&str], options: &[&str], version: &str) -> [u8; N] {
    let written = Writer::<N>::write(drivers, options, version);
    assert!(written.at == N, "a report's array has its text's length");
    written.out
}

/// Counts what is written, and keeps as much of it as there is room for.
struct Writer<const N: usize> {
    out: [u8; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    const fn write(drivers: &[&str], options: &[&str], version: &str) -> Self {
        Self { out: [0; N], at: 0 }
            .text("{\"schema\":1,\"drivers\":")
            .list(drivers)
            .text(",\"options\":")
            .list(options)
            .text(",\"version\":")
            .quoted(version)
            .text("}\0")
    }

    const fn text(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            if self.at < N {
                self.out[self.at] = bytes[i];
            }
            self.at += 1;
            i += 1;
        }
        self
    }

    const fn quoted(self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            let plain = bytes[i].is_ascii_graphic() && bytes[i] != b'"' && bytes[i] != b'\\';
            assert!(plain, "a name in a report needs no escape");
            i += 1;
        }
        self.text("\"").text(text).text("\"")
    }

    const fn list(self, names: &[&str]) -> Self {
        let mut writer = self.text("[");
        let mut i = 0;
        while i < names.len() {
            if i > 0 {
                writer = writer.text(",");
            }
            writer = writer.quoted(names[i]);
            i += 1;
        }
        writer.text("]")
    }
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

    #[test]
    fn a_report_is_a_line_of_json_with_a_nul() {
        const DRIVERS: &[&str] = &["one", "two-b"];
        const REPORT: [u8; super::report_len(DRIVERS, &["o"], "0.1.0")] =
            super::report(DRIVERS, &["o"], "0.1.0");
        let expected =
            "{\"schema\":1,\"drivers\":[\"one\",\"two-b\"],\"options\":[\"o\"],\"version\":\"0.1.0\"}\0";
        assert_eq!(String::from_utf8_lossy(&REPORT), expected);
        const NOTHING: [u8; super::report_len(&[], &[], "1")] = super::report(&[], &[], "1");
        assert!(NOTHING.starts_with(b"{\"schema\":1,\"drivers\":[],\"options\":[],"));
    }
}
