//! `openshell-gateway drivers`: the report of core, for people or for machines.

use openshell_core::Config;
use openshell_core::catalog::Catalog;
use openshell_core::detect::Probes;
use openshell_core::report;

pub(crate) fn report(catalog: &Catalog, probes: &Probes, config: &Config, json: bool) -> String {
    if json {
        format!("{:#}\n", report::drivers_json(catalog, probes, config))
    } else {
        report::drivers_text(catalog, probes, config)
    }
}
