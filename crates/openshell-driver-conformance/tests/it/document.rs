//! `docs/driver-contract.md` says what the cases say.

use std::path::Path;

use openshell_driver_conformance::contract;

#[test]
fn the_document_is_what_the_cases_make_of_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/driver-contract.md");
    let text = std::fs::read_to_string(&path).expect("docs/driver-contract.md");
    let (_, rest) = text.split_once("<!-- gen:cases begin -->\n").expect("its first marker");
    let (found, _) = rest.split_once("<!-- gen:cases end -->").expect("its second marker");
    assert_eq!(
        found,
        contract(),
        "docs/driver-contract.md is stale; between its markers belongs what \
         `cargo run -p openshell-driver-conformance -- --contract` prints"
    );
}
