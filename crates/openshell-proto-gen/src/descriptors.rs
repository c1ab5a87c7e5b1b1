//! The descriptors of a package with a service, as a constant beside its bindings: what gRPC's reflection answers with.

use std::collections::BTreeSet;

use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// How wide a line of the constant is at most, without its indent.
const WIDTH: usize = 110;

/// The Rust text of a constant with the encoded `FileDescriptorSet` of a package and all that it imports, imports
/// first; nothing for a package that serves nothing.
pub(crate) fn constant(descriptors: &FileDescriptorSet, package: &str) -> String {
    let serves = |file: &FileDescriptorProto| file.package() == package && !file.service.is_empty();
    if !descriptors.file.iter().any(serves) {
        return String::new();
    }
    let bytes = prost::Message::encode_to_vec(&closure(descriptors, package));
    format!(
        "/// The `google.protobuf.FileDescriptorSet` of `{package}` and of what it imports, imports first, encoded,\n\
         /// without comments.\n\
         pub const FILE_DESCRIPTOR_SET: &[u8] = b\"{}\";\n",
        literal(&bytes)
    )
}

/// The files of a package and those that they import, in the order of the compiler, which is imports first.
fn closure(descriptors: &FileDescriptorSet, package: &str) -> FileDescriptorSet {
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    // Backwards: whatever imports a file comes after it.
    for file in descriptors.file.iter().rev() {
        if file.package() == package || wanted.contains(file.name()) {
            wanted.insert(file.name());
            wanted.extend(file.dependency.iter().map(String::as_str));
        }
    }
    let files = descriptors.file.iter().filter(|file| wanted.contains(file.name()));
    let bare = |file: &FileDescriptorProto| FileDescriptorProto { source_code_info: None, ..file.clone() };
    FileDescriptorSet { file: files.map(bare).collect() }
}

/// The inside of a byte string, in lines that end with a backslash.
fn literal(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut width = 0;
    for byte in bytes {
        if width >= WIDTH {
            out.push_str("\\\n");
            width = 0;
        }
        // White space at the beginning of a line would be taken for its indent.
        let text =
            if *byte == b' ' && width == 0 { "\\x20".to_owned() } else { byte.escape_ascii().to_string() };
        width += text.len();
        out.push_str(&text);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, package: &str, imports: &[&str], serves: bool) -> FileDescriptorProto {
        let service =
            prost_types::ServiceDescriptorProto { name: Some("S".to_owned()), ..Default::default() };
        FileDescriptorProto {
            name: Some(name.to_owned()),
            package: Some(package.to_owned()),
            dependency: imports.iter().map(|import| (*import).to_owned()).collect(),
            service: if serves { vec![service] } else { Vec::new() },
            source_code_info: Some(prost_types::SourceCodeInfo::default()),
            ..Default::default()
        }
    }

    #[test]
    fn a_package_brings_what_it_imports_and_nothing_else() {
        let set = FileDescriptorSet {
            file: vec![
                file("deep", "d", &[], false),
                file("import", "i", &["deep"], false),
                file("other", "o", &[], true),
                file("a", "a", &["import"], true),
            ],
        };
        let closed = closure(&set, "a");
        let names: Vec<&str> = closed.file.iter().map(FileDescriptorProto::name).collect();
        assert_eq!(names, ["deep", "import", "a"]);
        assert!(closed.file.iter().all(|file| file.source_code_info.is_none()));
        assert_eq!(constant(&set, "i"), "", "it serves nothing");
        assert!(constant(&set, "o").contains("FILE_DESCRIPTOR_SET"));
    }

    #[test]
    fn a_literal_is_what_it_is_made_of() {
        let bytes: Vec<u8> = (0..=255).chain([b' '; 300]).collect();
        let parsed: syn::LitByteStr = syn::parse_str(&format!("b\"{}\"", literal(&bytes))).unwrap();
        assert_eq!(parsed.value(), bytes);
    }
}
