//! The dispatch: one arm a driver, behind its feature and its platforms, the error of a build without any, and the
//! build's report of itself, behind the same conditions.

use driver_manifest::{Assembly, Driver, EXTERNAL, Kind};
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

use super::{any_of, crate_ident, file, predicate};
use crate::layout::{REMOTE, program};
use crate::platform;

const ABOUT: &str = "The dispatch: the drivers of this build, each behind its feature.";

pub(crate) fn server_arms(assembly: &Assembly) -> String {
    let no_driver = no_driver(assembly);
    let any = any_of(&assembly.drivers.iter().map(condition).collect::<Vec<_>>());
    let markers = assembly.drivers.iter().map(marker);
    let arms = assembly.drivers.iter().map(arm);
    let [dialing, launching] = [is_dialled, is_launched].map(|reached| {
        let conditions = assembly.drivers.iter().filter(|driver| reached(driver)).map(condition);
        any_of(&conditions.collect::<Vec<_>>())
    });
    let remote = crate_ident(REMOTE);
    let report = report(assembly);
    let tokens = quote! {
        use openshell_core::catalog::Arm;
        use openshell_driver_api::{Dialer, Launcher};

        #[cfg(not(#any))]
        compile_error!(#no_driver);

        #(#markers)*

        #report

        /// The arm of a driver that is in this build.
        pub(super) fn arm(name: &str) -> Option<Arm> {
            match name {
                #(#arms)*
                _ => None,
            }
        }

        /// What dials a driver behind a socket.
        #[cfg(#dialing)]
        pub(super) const DIALER: Option<&'static dyn Dialer> = Some(&#remote::DIALER);

        /// What dials a driver behind a socket: nothing in this build does.
        #[cfg(not(#dialing))]
        pub(super) const DIALER: Option<&'static dyn Dialer> = None;

        /// What starts a driver that is a program.
        #[cfg(#launching)]
        pub(super) const LAUNCHER: Option<&'static dyn Launcher> = Some(&#remote::LAUNCHER);

        /// What starts a driver that is a program: nothing in this build does.
        #[cfg(not(#launching))]
        pub(super) const LAUNCHER: Option<&'static dyn Launcher> = None;
    };
    file(ABOUT, tokens)
}

/// What the gateway says of itself in its section `.osgw`.
fn report(assembly: &Assembly) -> TokenStream {
    let drivers = assembly.drivers.iter().map(|driver| {
        let (condition, name) = (condition(driver), &driver.name);
        quote!(#[cfg(#condition)] #name)
    });
    let options = compiled_options(assembly);
    quote! {
        /// The drivers of this build.
        const DRIVERS: &[&str] = &[#(#drivers),*];

        #options

        openshell_driver_api::report!(REPORT, DRIVERS, OPTIONS);
    }
}

/// The constant `OPTIONS`: those whose features a build has.
pub(super) fn compiled_options(assembly: &Assembly) -> TokenStream {
    let options = assembly.options.iter().map(|option| {
        let name = &option.name;
        quote!(#[cfg(feature = #name)] #name)
    });
    quote! {
        /// The options of this build.
        const OPTIONS: &[&str] = &[#(#options),*];
    }
}

/// The entry that stands for every driver behind a socket.
fn is_dialled(driver: &Driver) -> bool {
    driver.name == EXTERNAL
}

/// A driver whose program the gateway starts.
fn is_launched(driver: &Driver) -> bool {
    matches!(driver.kind, Kind::Process { .. })
}

/// What has to hold for a driver to be in the build.
fn condition(driver: &Driver) -> TokenStream {
    let feature = driver.feature();
    match platform::any(&driver.platforms) {
        None => quote!(feature = #feature),
        Some(platforms) => {
            let platforms = predicate(&platforms);
            quote!(all(feature = #feature, #platforms))
        }
    }
}

fn marker_ident(driver: &Driver) -> Ident {
    format_ident!("ARM_{}", driver.name.replace('-', "_").to_uppercase())
}

fn marker(driver: &Driver) -> TokenStream {
    let condition = condition(driver);
    let name = marker_ident(driver);
    let text = format!("arm:{}\0", driver.name);
    quote! {
        #[cfg(#condition)]
        openshell_driver_api::marker!(#name, #text);
    }
}

fn arm(driver: &Driver) -> TokenStream {
    let condition = condition(driver);
    let name = &driver.name;
    let marker = marker_ident(driver);
    let arm = match &driver.kind {
        Kind::InTree { package } | Kind::Crate { package, .. } => {
            let package = crate_ident(package);
            quote!(Arm::Crate { registration: &#package::REGISTRATION, marker: &#marker })
        }
        Kind::Process { supervisor, .. } => {
            let program = program(&driver.name);
            quote!(Arm::Process { program: #program, supervisor: #supervisor, marker: &#marker })
        }
        Kind::Socket { .. } => quote!(Arm::Socket { marker: &#marker }),
    };
    quote! {
        #[cfg(#condition)]
        #name => Some(#arm),
    }
}

/// The text of a build that selects no driver, or none that runs on its platform.
fn no_driver(assembly: &Assembly) -> String {
    let width = assembly.drivers.iter().map(|driver| driver.feature().len()).max().unwrap_or_default();
    let mut text = "this gateway has no compute driver; enable at least one of these features:\n".to_owned();
    for driver in &assembly.drivers {
        let feature = driver.feature();
        text.push_str(&format!("  {feature:width$}  {}", driver.summary));
        if !driver.platforms.is_empty() {
            text.push_str(&format!(" (on {} only)", platform::prose(&driver.platforms)));
        }
        text.push('\n');
    }
    let first = assembly.drivers.first().map_or(EXTERNAL, |driver| &driver.name);
    text.push_str(&format!("hint: cargo xtask build --drivers {first}"));
    text
}
