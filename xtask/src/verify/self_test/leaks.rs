//! What is planted to be found: the driver `sun` is left out of the gateway, and something of it gets in all the same.

use driver_verify::Layer;

use super::fixture::{Edit, Fixture};
use super::judging::{build, file, folder, gateway, guest, program, together};
use super::plant::{BOTH, CORE, CORE_MANIFEST, MOON, Plant, planted};
use super::profile::Profile;
use super::seen::{End, Eye, Seen};
use crate::error::Result;

const GRAPH: Eye = Eye::Layer(Layer::Graph);
const MESSAGES: Eye = Eye::Layer(Layer::Messages);
const MARKER: Eye = Eye::Layer(Layer::Marker);
const BYTES: Eye = Eye::Layer(Layer::Bytes);
const SYMBOLS: Eye = Eye::Layer(Layer::Symbols);
const REPORT: Eye = Eye::Layer(Layer::SelfReport);
/// The section `.dep-v0` that `build` appends; it decides nothing.
const AUDIT: Eye = Eye::Note(Layer::Audit);

const ARMS: &str = "crates/openshell-server/src/generated/arms.rs";
const HEIGHT: &str = "tides::height(place));";
const SUNLIGHT: &str = "tides::height(place));\n    println!(\"{:?}\", sunlight::reach(place, 3));";
const RAYS: &str = "tides::height(place));\n    println!(\"{:?}\", rays::reach(place, 3));";
const PROBED: &str = "tides::height(&place));\n    println!(\"{:?}\", sunlight::reach(&place, 3));";
const DRIVER: &str = "openshell-driver-sun = { path = \"../openshell-driver-sun\" }\n";
const LINKED: &str = "\nuse openshell_driver_sun as _;\n";
/// A list that names the SDK, as `cargo auditable` packs it.
const LIST: &str = concat!(
    "\n#[used]\n#[unsafe(link_section = \".dep-v0\")]\nstatic LIST: [u8; 59] = *b\"",
    "\\x78\\xda\\xab\\x56\\x2a\\x48\\x4c\\xce\\x4e\\x4c\\x4f\\x2d\\x56\\xb2\\x8a\\xae\\x56\\xca\\x4b\\xcc\\x4d\\x55\\xb2\\x52\\x2a\\x2e\\xcd\\xcb\\xc9\\x4c\\xcf\\x28\\x51\\xd2\\x51\\x2a\\x4b\\x2d\\x2a\\xce\\xcc\\xcf\\x03\\x0a\\x1a\\xea\\x19\\xe8\\x19\\x28\\xd5\\xc6\\xd6\\x02\\x00\\xd9\\x21\\x11\\x18",
    "\";\n",
);

/// The driver as a program that the gateway starts.
const PROCESS: Edit = Edit::Replace(
    "drivers.toml",
    "kind = \"in-tree\"\npackage = \"openshell-driver-sun\"",
    "kind = \"process\"\npackage = \"openshell-driver-sun\"",
);

/// All of them, after one row without any.
pub(super) const LEAKS: &[Plant] = &[
    Plant {
        planted: "the driver, linked by core with `use … as _`",
        end: End::Leak,
        eyes: &[GRAPH, MESSAGES, MARKER, SYMBOLS, AUDIT],
        named: "openshell-server → openshell-core → openshell-driver-sun",
        run: |it| planted(it, &[Edit::Append(CORE_MANIFEST, DRIVER), Edit::Append(CORE, LINKED)]),
    },
    Plant {
        planted: "its SDK, used by core",
        end: End::Leak,
        eyes: &[GRAPH, MESSAGES, BYTES, SYMBOLS, AUDIT],
        named: "openshell-core → sunlight",
        run: |it| core_uses(it, "sunlight = \"1\"\n", SUNLIGHT),
    },
    Plant {
        planted: "its SDK in another version, used by core",
        end: End::Leak,
        eyes: &[GRAPH, MESSAGES, BYTES, SYMBOLS, AUDIT],
        named: "sunlight@0.9.0",
        run: |it| core_uses(it, "sunlight = \"0.9\"\n", SUNLIGHT),
    },
    Plant {
        planted: "its SDK under another name: a renamed dependency of core",
        end: End::Leak,
        eyes: &[GRAPH, MESSAGES, BYTES, SYMBOLS, AUDIT],
        named: "openshell-core → sunlight",
        run: |it| core_uses(it, "rays = { package = \"sunlight\", version = \"1\" }\n", RAYS),
    },
    Plant {
        planted: "a fork of its SDK: another package, the same library",
        end: End::Leak,
        eyes: &[SYMBOLS],
        named: "sunlight::reach",
        run: |it| core_uses(it, "sunbeam = \"1\"\n", SUNLIGHT),
    },
    Plant {
        planted: "the sources of its SDK, copied into core",
        end: End::Leak,
        eyes: &[BYTES],
        named: "sunlight/src/lib.rs",
        run: |it| {
            let copied = "\n#[path = \"../sunlight/src/lib.rs\"]\nmod rays;\n";
            let source = include_str!("../../../fixture/vendor/sunlight-1.0.0/src/lib.rs");
            planted(
                it,
                &[
                    Edit::Write("crates/openshell-core/sunlight/src/lib.rs", source),
                    Edit::Replace(CORE, HEIGHT, RAYS),
                    Edit::Append(CORE, copied),
                ],
            )
        },
    },
    Plant {
        planted: "a build with `--workspace`, where another member enables the driver",
        end: End::Leak,
        eyes: &[MESSAGES, MARKER, BYTES, SYMBOLS, REPORT],
        named: "openshell-driver-sun@0.1.0 compiled as lib",
        run: |it| {
            it.plant(NEIGHBOUR)?;
            together(it, MOON, "openshell-server/driver-moon")
        },
    },
    Plant {
        planted: "a build with `--workspace`, where another program has the driver",
        end: End::Leak,
        eyes: &[MESSAGES],
        named: "sunlight@1.0.0 compiled as lib",
        run: |it| {
            it.plant(&[])?;
            together(it, MOON, "openshell-server/driver-moon,openshell-drivers/driver-sun")
        },
    },
    Plant {
        planted: "the driver, added to core's manifest after the build",
        end: End::CannotCertify,
        eyes: &[GRAPH, Eye::Control("question")],
        named: "openshell-server → openshell-core → openshell-driver-sun",
        run: |it| {
            it.plant(&[])?;
            let (workspace, made) = it.build(&it.selection(MOON, &[])?, &Profile::RELEASE)?;
            it.plant(&[Edit::Append(CORE_MANIFEST, DRIVER)])?;
            folder(&workspace, &it.assembly, &made)
        },
    },
    Plant {
        planted: "the program of a driver, with nothing else in it",
        end: End::Clean,
        eyes: &[],
        named: "",
        run: |it| {
            it.plant(&[])?;
            program(it, "moon")
        },
    },
    Plant {
        planted: "the program of another driver, with this one in it",
        end: End::Leak,
        eyes: &[GRAPH, MESSAGES, MARKER, SYMBOLS, AUDIT],
        named: "openshell-drivers → openshell-core → openshell-driver-sun",
        run: |it| {
            it.plant(&[Edit::Append(CORE_MANIFEST, DRIVER), Edit::Append(CORE, LINKED)])?;
            program(it, "moon")
        },
    },
    Plant {
        planted: "the code of a driver that is a program, in the gateway that has selected it",
        end: End::Leak,
        eyes: &[GRAPH, MESSAGES, MARKER, SYMBOLS, AUDIT],
        named: "openshell-server → openshell-core → openshell-driver-sun",
        run: |it| {
            it.plant(&[PROCESS, Edit::Append(CORE_MANIFEST, DRIVER), Edit::Append(CORE, LINKED)])?;
            build(it, BOTH)
        },
    },
    Plant {
        planted: "the SDK of a driver that is a program, in the gateway that has selected it",
        end: End::Leak,
        eyes: &[GRAPH, MESSAGES, BYTES, SYMBOLS, AUDIT],
        named: "openshell-core → sunlight",
        run: |it| {
            let manifest = Edit::Append(CORE_MANIFEST, "sunlight = \"1\"\n");
            it.plant(&[PROCESS, manifest, Edit::Replace(CORE, HEIGHT, SUNLIGHT)])?;
            build(it, BOTH)
        },
    },
    Plant {
        planted: "a gateway that has selected a driver that is a program, with nothing of it but its arm",
        end: End::Clean,
        eyes: &[],
        named: "",
        run: |it| {
            it.plant(&[PROCESS])?;
            build(it, BOTH)
        },
    },
    Plant {
        planted: "what runs inside its sandboxes, with nothing else in it",
        end: End::Clean,
        // Drivers bring the driver API, which leaves no path, and more that does.
        eyes: &[Eye::Rejected],
        named: "openshell-driver-api",
        run: |it| {
            it.plant(&[])?;
            guest(it, "sun")
        },
    },
    Plant {
        planted: "its SDK, in what runs inside its sandboxes",
        end: End::Leak,
        // A guest has no symbols in any profile.
        eyes: &[GRAPH, MESSAGES, BYTES, AUDIT],
        named: "openshell-probe → sunlight",
        run: |it| {
            it.plant(&[
                Edit::Append("crates/openshell-probe/Cargo.toml", "sunlight = \"1\"\n"),
                Edit::Replace("crates/openshell-probe/src/main.rs", "tides::height(&place));", PROBED),
            ])?;
            guest(it, "sun")
        },
    },
    Plant {
        planted: "an option that was switched off",
        end: End::Leak,
        eyes: &[BYTES, SYMBOLS, REPORT, AUDIT],
        named: "nothing came back from the valley",
        run: |it| {
            it.plant(&[])?;
            let bytes = gateway(it, &Profile::RELEASE, MOON, &["echo"])?;
            file(it, &bytes, MOON, None)
        },
    },
    Plant {
        planted: "its marker without its code",
        end: End::Leak,
        eyes: &[MARKER],
        named: "crate:openshell-driver-sun",
        run: |it| {
            planted(
                it,
                &[Edit::Append(
                    CORE,
                    "\nopenshell_driver_api::marker!(STRAY, \"crate:openshell-driver-sun\\0\");\n",
                )],
            )
        },
    },
    Plant {
        planted: "the marker of a driver that no manifest has",
        end: End::Leak,
        eyes: &[MARKER],
        named: "crate:openshell-driver-mars",
        run: |it| {
            planted(
                it,
                &[Edit::Append(
                    CORE,
                    "\nopenshell_driver_api::marker!(STRAY, \"crate:openshell-driver-mars\\0\");\n",
                )],
            )
        },
    },
    Plant {
        planted: "a report that names it, and it is not there",
        end: End::CannotCertify,
        eyes: &[REPORT, Eye::Control("report")],
        named: "`sun` in section `.osgw`",
        run: |it| {
            planted(
                it,
                &[Edit::Replace(
                    ARMS,
                    "REPORT, DRIVERS,",
                    "REPORT, { let _ = DRIVERS; &[\"moon\", \"sun\"] },",
                )],
            )
        },
    },
    Plant {
        planted: "a report that does not name it, and it is there",
        end: End::Leak,
        eyes: &[MARKER, BYTES, SYMBOLS, AUDIT],
        named: "arm:sun",
        run: |it| {
            it.plant(&[Edit::Replace(
                ARMS,
                "REPORT, DRIVERS,",
                "REPORT, { let _ = DRIVERS; &[\"moon\"] },",
            )])?;
            let bytes = gateway(it, &Profile::RELEASE, BOTH, &[])?;
            file(it, &bytes, MOON, None)
        },
    },
    Plant {
        planted: "a stripped file that has it",
        end: End::Leak,
        eyes: &[MARKER, BYTES, REPORT, AUDIT],
        named: "arm:sun",
        run: |it| {
            it.plant(&[])?;
            let bytes = gateway(it, &Profile::STRIPPED, BOTH, &[])?;
            file(it, &bytes, MOON, None)
        },
    },
    Plant {
        planted: "an audit section that lists its SDK",
        end: End::Clean,
        eyes: &[AUDIT],
        named: "",
        run: |it| planted(it, &[Edit::Append(CORE, LIST)]),
    },
];

/// Another member that needs the gateway's library with the driver in it.
const NEIGHBOUR: &[Edit] = &[
    Edit::Write("crates/openshell-server/src/lib.rs", "//! For a neighbour.\n"),
    Edit::Write(
        "crates/neighbour/Cargo.toml",
        "[package]\nname = \"neighbour\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         openshell-server = { path = \"../openshell-server\", features = [\"driver-sun\"] }\n",
    ),
    Edit::Write("crates/neighbour/src/lib.rs", "//! Needs the gateway with everything.\n"),
];

/// Core depends on something, and calls it.
fn core_uses(fixture: &mut Fixture, dependency: &'static str, call: &'static str) -> Result<Seen> {
    planted(fixture, &[Edit::Append(CORE_MANIFEST, dependency), Edit::Replace(CORE, HEIGHT, call)])
}
