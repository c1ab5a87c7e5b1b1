//! A contract as a table: a section for each message and enum and one for the methods, each a set of lines.
//!
//! A table file is read into it, compiled protos are written into it in the same words, and two tables differ in lines.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, ServiceDescriptorProto,
};

/// The section of the methods.
const METHODS: &str = "methods";

/// Sections by their head, such as `message Sandbox`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    sections: BTreeMap<String, BTreeSet<String>>,
}

impl Table {
    /// Reads a table file. The first line is the package; a line that says a thing twice is a mistake of the file.
    pub(crate) fn parse(text: &str) -> (String, Self) {
        let mut lines = text.lines();
        let package =
            lines.next().and_then(|line| line.strip_prefix("package ")).expect("a package line first");
        let mut table = Self::default();
        let mut section = String::new();
        for line in lines {
            if let Some(entry) = line.strip_prefix("  ") {
                table.add(&section, entry);
            } else if line.starts_with("rpc ") {
                table.add(METHODS, line);
            } else {
                section = line.to_owned();
                let fresh = table.sections.insert(section.clone(), BTreeSet::new()).is_none();
                assert!(fresh, "`{line}` twice");
            }
        }
        (package.to_owned(), table)
    }

    /// Writes compiled files as a table; names within `package` lose it.
    pub(crate) fn render<'a>(package: &str, files: impl Iterator<Item = &'a FileDescriptorProto>) -> Self {
        let mut table = Self::default();
        let names = Names { package };
        for file in files {
            for service in &file.service {
                table.service(&names, service);
            }
            for message in &file.message_type {
                table.message(&names, &format!(".{}.{}", file.package(), message.name()), message);
            }
            for kind in &file.enum_type {
                table.enumeration(&names, &format!(".{}.{}", file.package(), kind.name()), kind);
            }
        }
        table
    }

    /// What a message of policies is here: bytes, with the presence that a message field has.
    pub(crate) fn with_opaque(mut self, package: &str) -> Self {
        for entries in self.sections.values_mut() {
            *entries = entries
                .iter()
                .map(|entry| {
                    let mut words = entry.split(' ').collect::<Vec<_>>();
                    match words.as_mut_slice() {
                        [_, kind, _] if kind.starts_with(package) => *kind = "optional bytes",
                        _ => {}
                    }
                    words.join(" ")
                })
                .collect();
        }
        self
    }

    /// Every line that only one of the two has, `-` for `self` and `+` for `other`.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut out = Vec::new();
        let heads: BTreeSet<&String> = self.sections.keys().chain(other.sections.keys()).collect();
        for head in heads {
            match (self.sections.get(head), other.sections.get(head)) {
                (Some(ours), Some(theirs)) => {
                    out.extend(ours.difference(theirs).map(|entry| format!("- {head}: {entry}")));
                    out.extend(theirs.difference(ours).map(|entry| format!("+ {head}: {entry}")));
                }
                (Some(_), None) => out.push(format!("- {head}")),
                _ => out.push(format!("+ {head}")),
            }
        }
        out
    }

    fn add(&mut self, section: &str, entry: &str) {
        let fresh = self.sections.entry(section.to_owned()).or_default().insert(entry.to_owned());
        assert!(fresh, "`{section}` says `{entry}` twice");
    }

    fn service(&mut self, names: &Names<'_>, service: &ServiceDescriptorProto) {
        let side = |streams: bool, name: &str| {
            format!("{}{}", if streams { "stream " } else { "" }, names.short(name))
        };
        for method in &service.method {
            let input = side(method.client_streaming(), method.input_type());
            let output = side(method.server_streaming(), method.output_type());
            self.add(METHODS, &format!("rpc {}.{}({input}) -> {output}", service.name(), method.name()));
        }
    }

    fn message(&mut self, names: &Names<'_>, full: &str, message: &DescriptorProto) {
        let section = format!("message {}", names.short(full));
        self.sections.entry(section.clone()).or_default();
        for field in &message.field {
            self.add(&section, &names.field(message, full, field));
        }
        for range in &message.reserved_range {
            // The descriptor's end is exclusive, the table's is not.
            self.add(&section, &format!("reserved {}..{}", range.start(), range.end() - 1));
        }
        if !message.reserved_name.is_empty() {
            self.add(&section, &format!("reserved names {}", message.reserved_name.join(", ")));
        }
        let is_entry = |nested: &&DescriptorProto| nested.options.as_ref().is_some_and(|o| o.map_entry());
        for nested in message.nested_type.iter().filter(|nested| !is_entry(nested)) {
            self.message(names, &format!("{full}.{}", nested.name()), nested);
        }
        for kind in &message.enum_type {
            self.enumeration(names, &format!("{full}.{}", kind.name()), kind);
        }
    }

    fn enumeration(&mut self, names: &Names<'_>, full: &str, kind: &EnumDescriptorProto) {
        let section = format!("enum {}", names.short(full));
        self.sections.entry(section.clone()).or_default();
        for value in &kind.value {
            self.add(&section, &format!("{} {}", value.number(), value.name()));
        }
    }
}

/// How names and fields are written.
struct Names<'a> {
    package: &'a str,
}

impl Names<'_> {
    /// A full name, which begins with a dot, without the package where it is the table's.
    fn short<'n>(&self, full: &'n str) -> &'n str {
        let full = full.trim_start_matches('.');
        let within = full.strip_prefix(self.package).and_then(|rest| rest.strip_prefix('.'));
        // `openshell.v1` is no prefix of `openshell.v1alpha1`, nor of a type nested elsewhere.
        within.unwrap_or(full)
    }

    fn field(&self, message: &DescriptorProto, full: &str, field: &FieldDescriptorProto) -> String {
        let kind = self.map(message, full, field).unwrap_or_else(|| {
            let label = match field.label() {
                Label::Repeated => "repeated ",
                _ if field.proto3_optional() => "optional ",
                _ => "",
            };
            format!("{label}{}", self.kind(field))
        });
        let mut line = format!("{} {kind} {}", field.number(), field.name());
        // An `optional` field lies in a oneof that the compiler made up.
        if let (Some(index), false) = (field.oneof_index, field.proto3_optional()) {
            let index = usize::try_from(index).expect("an index");
            line += &format!("  (oneof {})", message.oneof_decl[index].name());
        }
        line
    }

    fn map(&self, message: &DescriptorProto, full: &str, field: &FieldDescriptorProto) -> Option<String> {
        let entry = message.nested_type.iter().find(|nested| {
            nested.options.as_ref().is_some_and(|options| options.map_entry())
                && field.type_name() == format!("{full}.{}", nested.name())
        })?;
        let [key, value] = entry.field.as_slice() else { panic!("an entry of a map has two fields") };
        Some(format!("map<{},{}>", self.kind(key), self.kind(value)))
    }

    fn kind(&self, field: &FieldDescriptorProto) -> String {
        match field.r#type() {
            Type::Message | Type::Enum | Type::Group => self.short(field.type_name()).to_owned(),
            scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
        }
    }
}
