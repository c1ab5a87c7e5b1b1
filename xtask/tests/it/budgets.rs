//! The crates that a gateway may cost, as `cargo tree -e normal --prefix none --no-dedupe | sort -u` counts them, without
//! options.

use super::{root, stderr, stdout, xtask};

#[test]
fn lean_gateways_keep_their_budgets() {
    let output = xtask(root(), &["size", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let sizes: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    for (selection, most) in [("external", 140), ("docker", 172)] {
        let rows = sizes["selections"].as_array().unwrap();
        let row = rows.iter().find(|row| row["selection"] == selection).unwrap();
        let crates = row["crates"].as_u64().unwrap();
        assert!(crates <= most, "`{selection}` alone resolves to {crates} crates, {most} are the most");
        assert!(crates > 20, "`{selection}` resolves to {crates} crates: that is no gateway");
    }
}
