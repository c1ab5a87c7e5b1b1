//! `[defaults]` of an overlay: what the main manifest's drivers and options are by default in builds from this overlay.

use crate::context::Context;
use crate::diagnostic::{Code, Sink};
use crate::model::{Driver, OptionSwitch};
use crate::nearest::{did_you_mean, listed};
use crate::raw::{RawDefaults, RawManifest};
use crate::words::shown;

/// Switches the defaults that the table names. A driver or an option of the overlay itself has a key for that.
pub(super) fn check(
    raw: &RawManifest,
    context: &Context,
    drivers: &mut [Driver],
    options: &mut [OptionSwitch],
    sink: &mut Sink,
) {
    let Some(RawDefaults { key, flags }) = &raw.defaults else { return };
    if !context.is_overlay() {
        sink.error(Code::OverlayOnly, key.clone(), "`defaults` is for overlays")
            .label("here each entry says it itself")
            .hint("leave it out, and say `default = …` in the entry");
        return;
    }
    for (name, on) in flags {
        if let Some(driver) = drivers.iter_mut().find(|driver| driver.name == name.value) {
            driver.default = *on;
        } else if let Some(option) = options.iter_mut().find(|option| option.name == name.value) {
            option.default = *on;
        } else if raw.whole {
            let known = drivers.iter().map(|driver| driver.name.as_str());
            let known: Vec<&str> = known.chain(options.iter().map(|option| option.name.as_str())).collect();
            let message = format!("no driver and no option is named `{}`", shown(&name.value));
            let hint = did_you_mean(&name.value, known.iter().copied())
                .unwrap_or_else(|| format!("there are {}", listed(known.iter().copied())));
            sink.error(Code::UnknownDriver, name.span.clone(), message).hint(hint);
        }
    }
}
