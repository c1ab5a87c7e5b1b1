//! The tables of drivers and options that the hand-written code reads.

use driver_manifest::{Assembly, Driver, Kind, OptionSwitch};
use proc_macro2::TokenStream;
use quote::quote;

use super::{file, predicate};
use crate::platform;

const SERVER: &str =
    "What this build of the gateway knows of drivers: all of the manifest's, and the dispatch to its own.";
const PROGRAMS: &str =
    "What a driver program knows of drivers: all of the manifest's. It holds no dispatch: it is one driver.";

/// The catalog of the gateway.
pub(crate) fn server_catalog(assembly: &Assembly) -> String {
    let tables = tables(assembly);
    file(
        SERVER,
        quote! {
            #[rustfmt::skip]
            mod arms;

            use openshell_core::catalog::{Catalog, DriverEntry, OptionEntry};

            /// The drivers and options of the manifest, and which of them are in this build.
            pub(crate) static CATALOG: Catalog =
                Catalog {
                    drivers: DRIVERS,
                    options: OPTIONS,
                    arm: arms::arm,
                    dialer: arms::DIALER,
                    launcher: arms::LAUNCHER,
                };

            #tables
        },
    )
}

/// The catalog of the driver programs.
pub(crate) fn program_catalog(assembly: &Assembly) -> String {
    let tables = tables(assembly);
    file(
        PROGRAMS,
        quote! {
            use openshell_core::catalog::{Catalog, DriverEntry, OptionEntry};

            /// The drivers and options of the manifest, and which options are in this build.
            pub(crate) static CATALOG: Catalog =
                Catalog { drivers: DRIVERS, options: OPTIONS, arm: |_| None, dialer: None, launcher: None };

            #tables
        },
    )
}

fn tables(assembly: &Assembly) -> TokenStream {
    let drivers = assembly.drivers.iter().map(driver_entry);
    let options = assembly.options.iter().map(option_entry);
    quote! {
        static DRIVERS: &[DriverEntry] = &[#(#drivers),*];
        static OPTIONS: &[OptionEntry] = &[#(#options),*];
    }
}

fn driver_entry(driver: &Driver) -> TokenStream {
    let Driver { name, summary, detect, platforms, .. } = driver;
    let kind = driver.kind.word();
    let feature = driver.feature();
    let socket = match &driver.kind {
        Kind::Socket { path } => optional(path.as_deref()),
        _ => optional(None),
    };
    let platform_ok = match platform::any(platforms) {
        None => quote!(true),
        Some(platforms) => {
            let platforms = predicate(&platforms);
            quote!(cfg!(#platforms))
        }
    };
    let program = optional(driver.program().as_deref());
    quote! {
        DriverEntry {
            name: #name,
            summary: #summary,
            kind: #kind,
            feature: #feature,
            socket: #socket,
            detect: #detect,
            platforms: &[#(#platforms),*],
            platform_ok: #platform_ok,
            program: #program,
        }
    }
}

fn option_entry(option: &OptionSwitch) -> TokenStream {
    let OptionSwitch { name, summary, .. } = option;
    let env = optional(option.env.as_deref());
    quote! {
        OptionEntry { name: #name, summary: #summary, env: #env, compiled: cfg!(feature = #name) }
    }
}

fn optional(text: Option<&str>) -> TokenStream {
    match text {
        None => quote!(None),
        Some(text) => quote!(Some(#text)),
    }
}
