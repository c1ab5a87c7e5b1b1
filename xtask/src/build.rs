//! `build`: a gateway with exactly the drivers that were named, the programs that go with it, what runs inside the
//! sandboxes of these drivers, and a record of what was compiled in. One cargo call per shipped file, and the gateway's is
//! the line that a user would type.
//!
//! Nothing is left half-written: a folder under `target/gateways/` is made complete beside its place and then swapped in.

mod again;
mod bom;
mod line;
mod messages;
mod place;
mod record;
pub(crate) mod reproducible;
mod site;
mod source;
mod verified;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap_complete::ArgValueCompleter;
use driver_manifest::{Assembly, Kind, Selection};
use sha2::{Digest, Sha256};

use bom::{Bom, Shipped, source_date};
pub(crate) use line::{CargoLine, Profile};
pub(crate) use messages::{Compiled, Package, check, package, read_messages, run_cargo};
pub(crate) use place::{Staged, hex, sha256_of, turn};
pub(crate) use record::{FileRecord, Record};
use site::{Provenance, Site};
use source::SourceRecord;
use verified::verify;

use crate::completions;
use crate::error::{Error, Result};
use crate::overlay::OverlayArgs;
use crate::selection::{self, SelectionArgs};
use crate::size::Budgeted;
use crate::verify::{Edges, Graphs, Lock, Query, Subject, Verifier};
use crate::workspace::{GATEWAY_BIN, GATEWAY_PACKAGE, MANIFEST, PROGRAMS_PACKAGE, Rustc, Workspace, joined};

/// Build a gateway with exactly the drivers you name, or standalone driver programs
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Build the standalone programs of these drivers instead of a gateway
    #[arg(long, value_name = "NAMES", value_delimiter = ',', add = ArgValueCompleter::new(completions::drivers))]
    programs: Vec<String>,
    #[command(flatten)]
    overlay: OverlayArgs,
    /// Build what this build.json says once more, and compare the bytes
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "drivers", "preset", "all", "from_config", "with_option", "without_option", "programs", "manifest", "profile",
        "target",
    ])]
    from: Option<PathBuf>,
    /// With --from, build with another compiler than that build was made by
    #[arg(long, requires = "from")]
    allow_other_toolchain: bool,
    /// Keep no path of this machine in the files, so that they are the same wherever they are built
    #[arg(long)]
    reproducible: bool,
    #[command(flatten)]
    cargo: CargoArgs,
    /// Print the cargo lines and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print build.json as well, before the folder's path
    #[arg(long)]
    json: bool,
    /// Neither verify that what was left out is absent nor hold the build to a budget
    #[arg(long)]
    no_verify: bool,
    /// Do not append the list of its packages to a file, as the section `.dep-v0`
    #[arg(long)]
    no_audit_section: bool,
}

/// What is handed to cargo as it is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CargoArgs {
    /// The cargo profile
    #[arg(long, value_name = "PROFILE", default_value = "release")]
    pub(crate) profile: String,
    /// The target triple [default: the host's]
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    /// Fail when Cargo.lock would have to change
    #[arg(long)]
    pub(crate) locked: bool,
    /// Do not touch the network
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let site = Site::of(args)?;
    let jobs = site.jobs(args)?;
    if args.dry_run {
        if !crate::generate::lock_holds(site.main()) {
            eprintln!(
                "note: generated files do not match `{MANIFEST}`: `cargo xtask gen` before you run this"
            );
        }
        if let Some(root) = site.elsewhere() {
            eprintln!("note: these are run in `{}`, which a build makes", from_here(&root).display());
        }
        for line in jobs.iter().flat_map(Job::lines) {
            println!("{line}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    refuse_drift(site.main())?;
    let workspace = site.made()?;
    for job in jobs {
        let job = Job { audit_section: !args.no_audit_section, ..job };
        let verifies = (!args.no_verify).then_some(site.assembly());
        let made = job.run(&workspace, verifies)?;
        if args.json {
            print!("{}", made.json);
        }
        println!("{}", from_here(&made.folder).display());
        site.compare(&made.record)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A path as somebody in the current directory writes it.
fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    let below = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
    below.unwrap_or(path).to_owned()
}

/// Generated files that do not fit `drivers.toml` would build something else than what was asked for.
pub(crate) fn refuse_drift(workspace: &Workspace) -> Result<()> {
    if crate::generate::is_fresh(workspace)? {
        return Ok(());
    }
    Err(Error::refused("generated files do not match `drivers.toml`; nothing was built", "cargo xtask gen"))
}

/// One folder to make: a gateway with its programs, or one standalone program; with what runs inside the sandboxes.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// `gateways/<selection>` or `programs/<name>`.
    place: PathBuf,
    selection: Selection,
    /// Every option, and whether it is on.
    options: Vec<(String, bool)>,
    profile: Profile,
    /// The file that the folder is about, first.
    files: Vec<CargoLine>,
    /// Whether profile and triple are part of the folder's path.
    nested: bool,
    /// Whether the shipped files get the list of their packages as a section.
    audit_section: bool,
    /// The kinds of its drivers, by name.
    kinds: BTreeMap<String, Kind>,
    /// The target directory of its results, where that is not cargo's.
    out: Option<PathBuf>,
    /// Where what is built comes from, besides this tree.
    provenance: Provenance,
}

/// The line of a driver's program, with the options of the selection it is shipped in.
pub(crate) fn program_line(
    selection: &Selection,
    driver: &str,
    program: &str,
    cargo: &CargoArgs,
) -> CargoLine {
    let features = selection::alone(selection, driver).features();
    CargoLine::new(PROGRAMS_PACKAGE, program, features, cargo)
}

/// The lines of what runs inside sandboxes. That is Linux whatever the gateway is, and only for Linux there is a way to
/// link a program static: elsewhere there are none.
pub(crate) fn guest_lines(guests: &[String], cargo: &CargoArgs) -> Vec<CargoLine> {
    let for_linux = match &cargo.target {
        Some(target) => target.contains("-linux-"),
        None => cfg!(target_os = "linux"),
    };
    guests.iter().filter(|_| for_linux).map(|package| CargoLine::guest(package, cargo)).collect()
}

/// A folder that was made.
pub(crate) struct Made {
    /// Where.
    pub(crate) folder: PathBuf,
    /// The text of its `build.json`.
    pub(crate) json: String,
    /// The same, to ask.
    pub(crate) record: Record,
    /// What cargo said of the first file.
    pub(crate) compiled: Compiled,
    /// What the compiler had to say of any of the files.
    pub(crate) warnings: Vec<String>,
}

impl Job {
    /// A gateway, the programs of its process drivers and what runs inside the sandboxes of any of its drivers.
    pub(crate) fn gateway(assembly: &Assembly, selection: Selection, cargo: &CargoArgs) -> Self {
        let gateway = CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, selection.features(), cargo);
        let shipped = selection.drivers.iter().filter_map(|name| {
            let program = assembly.driver(name)?.program()?;
            selection.programs.contains(&program).then(|| program_line(&selection, name, &program, cargo))
        });
        let guests = guest_lines(&selection.guests, cargo);
        let files = std::iter::once(gateway).chain(shipped).chain(guests).collect();
        let place = Path::new("gateways").join(selection.slug());
        let options = selection::option_states(assembly, &selection).collect();
        Self {
            kinds: source::kinds(assembly, &selection),
            out: None,
            provenance: Provenance::default(),
            place,
            selection,
            options,
            profile: Profile::new(&cargo.profile),
            files,
            nested: true,
            audit_section: true,
        }
    }

    /// The standalone program of a selection of one driver, and what runs inside its sandboxes.
    pub(crate) fn program(assembly: &Assembly, selection: Selection, cargo: &CargoArgs) -> Result<Self> {
        let name = selection.drivers.join("-");
        let driver = assembly.driver(&name);
        let Some((driver, program)) = driver.and_then(|driver| Some((driver, driver.program()?))) else {
            return Err(Error::refused(
                format!("`{name}` has no program of ours: it is somebody else's, behind a socket"),
                "cargo xtask list shows the kind of each driver",
            ));
        };
        let mut files = vec![program_line(&selection, &name, &program, cargo)];
        files.extend(guest_lines(&driver.guest, cargo));
        let place = Path::new("programs").join(&name);
        let options = selection::option_states(assembly, &selection).collect();
        Ok(Self {
            kinds: source::kinds(assembly, &selection),
            out: None,
            provenance: Provenance::default(),
            place,
            selection,
            options,
            profile: Profile::new(&cargo.profile),
            files,
            nested: false,
            audit_section: true,
        })
    }

    /// The same in a folder that no packager looks at: one that is made to be judged, not to be shipped.
    pub(crate) fn apart(self, name: &str) -> Self {
        Self { place: Path::new("matrix").join(name), nested: true, ..self }
    }

    /// The calls of cargo, one a shipped file; the gateway's first.
    pub(crate) fn files(&self) -> &[CargoLine] {
        &self.files
    }

    /// The cargo lines, one a shipped file.
    fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.files.iter().map(CargoLine::shell)
    }

    /// The folder, below cargo's target directory.
    pub(crate) fn folder(&self, target_dir: &Path, triple: &str) -> PathBuf {
        let folder = target_dir.join(&self.place);
        if self.nested { folder.join(self.profile.name()).join(triple) } else { folder }
    }

    /// Builds it and puts the folder into its place; given the manifest, held to its budget and verified. What is over
    /// budget or not clean is not put there.
    pub(crate) fn run(&self, workspace: &Workspace, verifies: Option<&Assembly>) -> Result<Made> {
        let timestamp = source_date()?;
        let offline = self.files.iter().any(CargoLine::offline);
        let rustc = Rustc::ask(workspace);
        let budget = match verifies.filter(|_| self.nested) {
            Some(assembly) => {
                let of = Budgeted { workspace, assembly, selection: &self.selection };
                of.bound()?.map(|bound| (of, bound))
            }
            None => None,
        };
        if let Some((budget, bound)) = &budget {
            budget.hold_crates(bound, self.files[0].target(), offline)?;
        }
        // Cargo gives the gateway of every selection the same path: nobody else builds until ours is copied.
        let _turn = turn(workspace.root());
        let rustc = joined(rustc)?;
        let expected = self.files[0].target().unwrap_or(&rustc.host);
        let ahead = Graphs::ahead(workspace, offline, self.queries(verifies, expected)?);
        let first = run_cargo(workspace, &self.files[0])?;
        let (target_dir, triple) = first.place(&self.profile)?;
        let folder = self.folder(self.out.as_ref().unwrap_or(&target_dir), &triple);
        let staged = Staged::new(&folder)?;
        // Each at once: a `cargo build` of somebody who takes no turns may put another selection's file there.
        let mut names = vec![staged.take(&first.executable)?];
        let mut compiled = vec![first];
        for file in &self.files[1..] {
            let next = run_cargo(workspace, file)?;
            names.push(staged.take(&next.executable)?);
            compiled.push(next);
        }
        let mut graphs = ahead.join(workspace, offline)?;
        graphs.fetch(&self.queries(verifies, &triple)?)?;
        let lock = Lock::load(workspace)?;
        let mut record =
            Record::new(&self.selection, &self.options, self.profile.name(), &triple, &rustc.version);
        self.say_where_from(&mut record, workspace, &lock, &staged)?;
        for ((line, compiled), name) in self.files.iter().zip(&compiled).zip(names) {
            let bom = Bom::new(
                workspace,
                line,
                compiled,
                &lock,
                graphs.get(&line.query(Some(&triple), Edges::Linked))?,
            );
            let list = driver_verify::audit_section(&bom.audited());
            let copied = staged.finish(name, self.audit_section.then_some(list.as_slice()))?;
            let sbom = sbom_name(line);
            let shipped = Shipped { name: &copied.name, sha256: &copied.sha256 };
            staged.write(&sbom, bom.cyclonedx(shipped, timestamp.clone()).as_bytes())?;
            record.add(line, compiled, &copied, &sbom, &target_dir);
        }
        if let Some((budget, bound)) = &budget {
            budget.hold_bytes(bound, &self.profile, record.files[0].size)?;
        }
        let json = record.json();
        staged.write(record::BUILD_JSON, json.as_bytes())?;
        if let Some(assembly) = verifies {
            let mut verifier = Verifier::with(workspace, assembly, graphs)?;
            verify(workspace, &mut verifier, &record, &staged, &folder)?;
        }
        staged.swap_in()?;
        let warnings = compiled.iter().flat_map(|compiled| compiled.warnings.iter().cloned()).collect();
        Ok(Made { folder, json, record, compiled: compiled.swap_remove(0), warnings })
    }

    /// Puts into the record where everything comes from.
    fn say_where_from(
        &self,
        record: &mut Record,
        workspace: &Workspace,
        lock: &Lock,
        staged: &Staged,
    ) -> Result<()> {
        let Provenance { reproducible, origin, foreign } = &self.provenance;
        for (name, kind) in &self.kinds {
            let source = SourceRecord::of(workspace, kind, foreign.get(name), lock)?;
            record.sources.insert(name.clone(), source);
        }
        let text = workspace.read(record::LOCK)?;
        record.lock_sha256 = hex(&Sha256::digest(&text));
        record.reproducible = *reproducible;
        record.overlay.clone_from(origin);
        if origin.is_some() {
            staged.write(record::LOCK, text.as_bytes())?;
        }
        Ok(())
    }

    /// The graphs that will be needed: of each file, and what a verification compares with.
    fn queries(&self, verifies: Option<&Assembly>, triple: &str) -> Result<Vec<Query>> {
        let mut queries: Vec<Query> =
            self.files.iter().map(|line| line.query(Some(triple), Edges::Linked)).collect();
        let Some(assembly) = verifies else { return Ok(queries) };
        for line in &self.files {
            let named = (line.package(), line.bin());
            queries.extend(Subject::of(assembly, &self.selection, named, triple)?.queries(assembly));
        }
        Ok(queries)
    }
}

/// The name of the bill of materials of a file.
fn sbom_name(line: &CargoLine) -> String {
    let of = if line.package() == GATEWAY_PACKAGE { "gateway" } else { line.bin() };
    format!("{of}.cdx.json")
}
