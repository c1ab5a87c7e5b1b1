//! What is not run for lack of rights is said, and is a failure where `OPENSHELL_TEST_REQUIRE` names `root`.

/// Says why something is not run here.
pub(crate) fn say(why: &str) {
    let required = std::env::var("OPENSHELL_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name.trim() == "root"), "root is required, and {why}");
    println!("skipped: {why}");
}
