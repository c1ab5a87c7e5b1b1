//! The JSON Schema of drivers.toml, for editors. It helps while typing; the reader of the manifest is the judge.

use serde_json::{Value, json};

use crate::layout::json_comment;

/// The schema as a file.
pub(crate) fn schema() -> String {
    let value = json!({
        "$comment": json_comment(),
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "drivers.toml",
        "description": "The compute drivers of this gateway; `cargo xtask gen` turns it into code.",
        "type": "object",
        "additionalProperties": false,
        "required": ["driver"],
        "properties": {
            "driver": {
                "description": "The drivers. Their order is the auto-detect order.",
                "type": "array",
                "minItems": 1,
                "items": driver(),
            },
            "budget": {
                "description": "What the gateway of the default features may cost.",
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "crates": { "description": "Crates in its graph, those of its options among them.", "type": "integer", "minimum": 1 },
                    "bytes": { "description": "Bytes of it in the release profile.", "type": "integer", "minimum": 1 },
                },
            },
            "option": {
                "description": "Switches that are not drivers.",
                "type": "object",
                "propertyNames": name(),
                "additionalProperties": option(),
            },
            "preset": {
                "description": "Selections with a name.",
                "type": "object",
                "propertyNames": name(),
                "additionalProperties": preset(),
            },
            "defaults": {
                "description": "Other defaults of drivers and options that the main manifest has, in overlays only.",
                "type": "object",
                "propertyNames": name(),
                "additionalProperties": { "type": "boolean" },
            },
        },
    });
    format!("{value:#}\n")
}

fn driver() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "summary", "kind"],
        "properties": {
            "name": { "description": "The kind that a user names; the feature is `driver-<name>`.", "type": "string", "pattern": "^[a-z][a-z0-9-]*$" },
            "summary": { "description": "One line for lists and errors.", "type": "string" },
            "docs": docs(),
            "kind": {
                "description": "in-tree: compiled in; process: a program of ours that the gateway starts; socket: somebody else's program; crate: somebody else's crate, compiled in.",
                "enum": ["in-tree", "process", "socket", "crate"],
            },
            "package": { "description": "The crate, for in-tree, process and crate.", "type": "string" },
            "path": { "description": "Where the crate is, for crate.", "type": "string" },
            "version": { "description": "The registry's version, for crate.", "type": "string" },
            "git": { "description": "The crate's repository, for crate, in overlays only.", "type": "string" },
            "rev": { "description": "The full commit id, with git.", "type": "string" },
            "socket": { "description": "Where it listens, for socket; without it the operator says so.", "type": "string" },
            "detect": { "description": "Has a probe and takes part in auto-detection.", "type": "boolean", "default": false },
            "before": { "description": "The driver that it stands before, in overlays.", "type": "string" },
            "after": { "description": "The driver that it stands after, in overlays.", "type": "string" },
            "default": { "description": "In the default features; true for in-tree and process.", "type": "boolean" },
            "platforms": texts("cfg words, one of which has to hold; all platforms without it."),
            "owns": texts("Crates that only this driver may bring in, by any path."),
            "guest": texts("Packages of this workspace whose one program runs inside its sandboxes: linked static, left beside its program."),
            "supervisor": { "description": "Puts the gateway's supervisor into its sandboxes, for process.", "type": "boolean", "default": false },
            "evidence": evidence(),
            "budget": {
                "description": "What a selection of this driver may cost.",
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "crates": { "description": "Crates in the graph of a gateway with this driver alone and no option.", "type": "integer", "minimum": 0 },
                    "bytes": { "description": "Bytes of that gateway in the release profile.", "type": "integer", "minimum": 0 },
                    "crates_percent": { "description": "Its crates in percent of those of a gateway with every driver.", "type": "integer", "minimum": 1, "maximum": 100 },
                    "bytes_percent": { "description": "Its bytes in percent of those of a gateway with every driver.", "type": "integer", "minimum": 1, "maximum": 100 },
                },
            },
        },
        "allOf": [
            { "if": kind("socket"), "then": { "not": { "anyOf": [{ "required": ["package"] }, { "required": ["guest"] }] } }, "else": { "required": ["package"] } },
        ],
    })
}

fn docs() -> Value {
    let text = |description: &str| json!({ "description": description, "type": "string" });
    json!({
        "description": "What the documentation's tables say.",
        "anyOf": [
            text("Where its sandboxes run."),
            {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "runs": text("Where its sandboxes run."),
                    "boundary": text("What separates them from the host."),
                },
            },
        ],
    })
}

fn option() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["summary"],
        "properties": {
            "summary": { "description": "One line for lists.", "type": "string" },
            "features": texts("Features of our crates that it turns on, as `package/feature`."),
            "env": { "description": "The variable that says whether code that is there acts.", "type": "string" },
            "default": { "description": "In the default features.", "type": "boolean", "default": false },
            "owns": texts("Crates that only this option may bring in."),
            "evidence": evidence(),
        },
    })
}

fn preset() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["drivers"],
        "properties": {
            "drivers": texts("The drivers."),
            "options": texts("Options switched from their defaults: `telemetry` on, `-telemetry` off."),
        },
    })
}

fn name() -> Value {
    json!({ "pattern": "^[a-z][a-z0-9-]*$" })
}

fn texts(description: &str) -> Value {
    json!({ "description": description, "type": "array", "items": { "type": "string" }, "uniqueItems": true })
}

fn evidence() -> Value {
    json!({
        "description": "Texts that betray it in a binary.",
        "type": "object",
        "additionalProperties": false,
        "properties": { "texts": texts("The texts.") },
    })
}

fn kind(kind: &str) -> Value {
    json!({ "properties": { "kind": { "const": kind } }, "required": ["kind"] })
}

#[cfg(test)]
mod tests {
    use driver_manifest::{Code, Context, read};
    use serde_json::Value;

    use super::schema;

    /// Whether the reader of the manifest knows a key of a table.
    fn is_known(table: &str, key: &str) -> bool {
        let text = format!("{table}\n{key} = 1\n");
        let outcome = read("drivers.toml", text.as_bytes(), &Context::default());
        outcome.report.diagnostics().iter().all(|diagnostic| diagnostic.code != Code::UnknownKey)
    }

    #[test]
    fn the_reader_knows_every_key() {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        let tables = [
            ("[[driver]]", "/properties/driver/items/properties"),
            ("[[driver]]\n[driver.docs]", "/properties/driver/items/properties/docs/anyOf/1/properties"),
            ("[[driver]]\n[driver.evidence]", "/properties/driver/items/properties/evidence/properties"),
            ("[[driver]]\n[driver.budget]", "/properties/driver/items/properties/budget/properties"),
            ("[budget]", "/properties/budget/properties"),
            ("[option.o]", "/properties/option/additionalProperties/properties"),
            ("[preset.p]", "/properties/preset/additionalProperties/properties"),
        ];
        for (table, pointer) in tables {
            let keys = schema.pointer(pointer).and_then(Value::as_object).unwrap();
            for key in keys.keys() {
                assert!(is_known(table, key), "{table} {key}");
            }
            assert!(!is_known(table, "nonsense"), "{table}");
        }
    }
}
