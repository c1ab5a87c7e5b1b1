//! Images: the base disk behind a reference, made once and shared read-only by every sandbox's overlay.
//!
//! ```text
//!   reference ─ table of images ─▶ archive or OCI layout (local.rs) ─┐
//!             └ pull policy ─────▶ registry (registry.rs) ───────────┴▶ Found: digest, Runs, layers
//!                  layers ─ unzip (stream.rs) ─ tar.rs ─▶ tree.rs in a private directory ─ mke2fs (disk.rs) ─▶ cache.rs
//! ```
//!
//! A base is named by its image's digest and its size. What a reference meant when it was last looked at is kept beside the
//! bases, so that an image that is there is found without a registry and without reading an archive again.

mod cache;
mod disk;
mod events;
mod layers;
mod layout;
mod local;
mod manifest;
mod registry;
mod stream;
mod tar;
mod tree;
mod trouble;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openshell_driver_api::conditions::reason;
use openshell_driver_api::{DriverError, ErrorKind, PlatformEvent};
use openshell_driver_common::container::image as reference;
use openshell_driver_common::container::pull::{Fault, Pulls, Tell};
use openshell_driver_common::container::values::PullPolicy;

use self::cache::{Cache, Key, Named, Work};
use self::disk::Maker;
use self::events::{Progress, Step};
use self::layers::{Found, Stopper};
use self::local::Local;
pub(crate) use self::manifest::Runs;
use self::registry::Registry;
use self::tree::Tree;
use self::trouble::Trouble;
use crate::config::Config;

/// How long a base that no sandbox uses is kept since somebody asked for it.
pub(crate) const KEPT_UNUSED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A base disk, ready. While this value lives, [`Images::sweep`] leaves the base alone; for longer, see [`Prepared::pin`].
#[derive(Debug)]
pub(crate) struct Prepared {
    /// `sha256:…` of the image: of its manifest, of its configuration in a `docker save`, of the whole file where it is a
    /// root file system's archive.
    pub(crate) digest: String,
    /// The disk: a sparse ext4, mode 0600, never written to.
    pub(crate) disk: PathBuf,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// What the image says of how it is run.
    pub(crate) runs: Runs,
    /// The shared lock that keeps the base where it is.
    _held: cache::Held,
}

impl Prepared {
    /// Makes `link` a further name of the disk, on the same file system. For as long as it is there the base is in use, across
    /// every restart: a sandbox that boots from its own name of the disk does not need the cache.
    ///
    /// # Errors
    /// That of the link; `AlreadyExists` where there is something by that name.
    pub(crate) fn pin(&self, link: &Path) -> std::io::Result<()> {
        std::fs::hard_link(&self.disk, link)
    }
}

/// How images are had.
#[derive(Debug)]
pub(crate) struct Images {
    inner: Arc<Inner>,
    pulls: Pulls<Progress>,
}

#[derive(Debug)]
struct Inner {
    files: BTreeMap<String, PathBuf>,
    policy: PullPolicy,
    registry: Registry,
    maker: Maker,
    cache: Cache,
}

/// Where an image comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin<'a> {
    /// A path of the operator's table.
    File(&'a Path),
    /// A registry.
    Registry,
}

/// How fresh what is known of a name has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// As the pull policy says.
    First,
    /// It has just been looked at.
    Again,
}

impl Images {
    /// Opens the cache in `directory`, which is made where it is not there, and removes what was half made there.
    ///
    /// # Errors
    /// `FailedPrecondition` when the directory cannot be used.
    pub(crate) fn open(config: &Config, directory: &Path) -> Result<Self, DriverError> {
        let cache = Cache::open(directory).map_err(|error| {
            let message = format!("cannot use `{}` for images: {error}", directory.display());
            DriverError::new(ErrorKind::FailedPrecondition, "open image cache", message).with_source(error)
        })?;
        let inner = Inner {
            files: config.images.clone(),
            policy: config.pull_policy,
            registry: Registry::new(config),
            maker: Maker::new(config),
            cache,
        };
        Ok(Self { inner: Arc::new(inner), pulls: Pulls::default() })
    }

    /// Whether a text can mean an image here; nothing is asked and nothing is read.
    ///
    /// # Errors
    /// `InvalidArgument` with what is wrong with it.
    pub(crate) fn check(&self, reference: &str) -> Result<(), DriverError> {
        if self.inner.files.contains_key(reference) {
            return Ok(());
        }
        let invalid = |problem: String| {
            DriverError::invalid(
                "validate sandbox",
                format!("image `{}` {problem}", reference.escape_debug()),
            )
        };
        reference::check(reference).map_err(invalid)?;
        if reference::is_id(reference) {
            return Err(invalid("is an id, which no registry knows".to_owned()));
        }
        Ok(())
    }

    /// The base disk of an image, `size` bytes large, made when it is not there; `tell` is told of the steps. Several that ask for
    /// the same wait for one. Dropped, it waits no longer, and what nobody waits for is given up.
    ///
    /// # Errors
    /// With the reason `ImagePullFailed`: `FailedPrecondition` when the image cannot be had or makes no disk, `PermissionDenied`
    /// without access, `Unavailable` when the registry wants to be asked less, `ResourceExhausted` when the host's disk is full;
    /// `InvalidArgument` for what [`Images::check`] refuses.
    pub(crate) async fn prepare(
        &self,
        reference: &str,
        size: u64,
        tell: &(dyn Fn(PlatformEvent) + Send + Sync),
    ) -> Result<Arc<Prepared>, DriverError> {
        self.check(reference)?;
        let inner = &self.inner;
        if let Some(found) = inner.find(reference, size, Asked::First).await.map_err(Fault::error)? {
            return Ok(Arc::new(found));
        }
        if inner.policy == PullPolicy::Never && inner.origin(reference) == Origin::Registry {
            let message = format!("there is no disk of image `{reference}`, and `pull_policy` is `never`");
            return Err(DriverError::new(ErrorKind::FailedPrecondition, "find image", message)
                .with_reason(reason::IMAGE_PULL_FAILED)
                .with_hint(format!(
                    "\"{reference}\" = \"/path/to/image.tar\" in [openshell.drivers.vm.images]"
                )));
        }
        tell(events::event(reference, Step::Pulling));
        let key = format!("{reference} {size}");
        let work = |told| Arc::clone(inner).make(reference.to_owned(), size, told);
        let told = |progress| tell(events::event(reference, Step::Progress(progress)));
        let made = self.pulls.pull(&key, work, told).await;
        let found = match made {
            Ok(()) => inner.find(reference, size, Asked::Again).await,
            Err(fault) => Err(fault),
        };
        let found = found.and_then(|found| {
            // Only where somebody puts another file in its place again and again.
            found.ok_or_else(|| {
                let message = format!("image `{reference}` was changed while its disk was made");
                Fault::new(ErrorKind::Aborted, message)
            })
        });
        match found {
            Ok(found) => {
                tell(events::event(reference, Step::Pulled));
                Ok(Arc::new(found))
            }
            Err(fault) => {
                if let Some(kept) = inner.kept(reference, size).await {
                    tracing::warn!(image = reference, "{}; the disk of before is used", fault.message);
                    tell(events::event(reference, Step::Kept(fault.message)));
                    return Ok(Arc::new(kept));
                }
                tell(events::event(reference, Step::Failed(fault.message.clone())));
                Err(fault.error())
            }
        }
    }

    /// Removes bases that are in use by nobody, here or in another process, and that nobody has asked for during
    /// [`KEPT_UNUSED`]. Says how many.
    ///
    /// # Errors
    /// `Internal` when the cache cannot be read.
    pub(crate) async fn sweep(&self) -> Result<usize, DriverError> {
        self.sweep_after(KEPT_UNUSED).await
    }

    async fn sweep_after(&self, kept: Duration) -> Result<usize, DriverError> {
        let cache = self.inner.cache.clone();
        let swept = blocking(move || cache.sweep(kept).map_err(Trouble::host("remove old disks"))).await;
        swept.map_err(|trouble| DriverError::new(ErrorKind::Internal, "sweep images", trouble.to_string()))
    }
}

impl Inner {
    fn origin(&self, reference: &str) -> Origin<'_> {
        self.files.get(reference).map_or(Origin::Registry, |path| Origin::File(path))
    }

    /// Whether the registry is asked although there is a base.
    fn asks_each_time(&self) -> bool {
        matches!(self.policy, PullPolicy::Always | PullPolicy::Newer)
    }

    /// The base of before, where the policy is content with that when there is no newer one to be had.
    async fn kept(self: &Arc<Self>, reference: &str, size: u64) -> Option<Prepared> {
        if self.policy != PullPolicy::Newer || self.origin(reference) != Origin::Registry {
            return None;
        }
        self.find(reference, size, Asked::Again).await.ok().flatten()
    }

    /// The base that is there for a reference.
    async fn find(
        self: &Arc<Self>,
        reference: &str,
        size: u64,
        asked: Asked,
    ) -> Result<Option<Prepared>, Fault> {
        let (inner, name) = (Arc::clone(self), reference.to_owned());
        let find = move || {
            let digest = match inner.origin(&name) {
                Origin::File(path) => inner.digest_of_file(&name, path, asked)?,
                Origin::Registry if asked == Asked::First && inner.asks_each_time() => None,
                Origin::Registry => inner.named(&name)?.map(|named| named.digest),
            };
            let Some(digest) = digest else { return Ok(None) };
            inner.base(Key { digest, size })
        };
        blocking(find).await.map_err(|trouble| trouble.fault(reference))
    }

    /// The digest of the image that a path holds, where it can be had without reading all of it.
    fn digest_of_file(&self, reference: &str, path: &Path, asked: Asked) -> Result<Option<String>, Trouble> {
        let local = Local::open(path)?;
        let Some(state) = local.state()? else {
            return local.layout(reference).map(|found| found.digest);
        };
        let named = self.named(&file_name(reference, path))?.filter(|named| named.state == state.text);
        Ok(named.filter(|_| state.settled || asked == Asked::Again).map(|named| named.digest))
    }

    fn named(&self, name: &str) -> Result<Option<Named>, Trouble> {
        self.cache.named(name).map_err(Trouble::host("read the cache of images"))
    }

    fn base(&self, key: Key) -> Result<Option<Prepared>, Trouble> {
        let base = self.cache.find(&key).map_err(Trouble::host("read the cache of images"))?;
        Ok(base.map(|base| Prepared {
            digest: key.digest,
            disk: base.disk,
            size: key.size,
            runs: base.runs,
            _held: base.held,
        }))
    }

    /// Makes the base of a reference, unless another process has meanwhile.
    async fn make(self: Arc<Self>, reference: String, size: u64, tell: Tell<Progress>) -> Result<(), Fault> {
        let failed = |trouble: Trouble| trouble.fault(&reference);
        let turn = self.cache.turn(&reference).await;
        let _turn = turn.map_err(|error| failed(Trouble::host("wait for another process")(error)))?;
        if self.find(&reference, size, Asked::First).await?.is_some() {
            return Ok(());
        }
        let cache = self.cache.clone();
        let work = blocking(move || cache.work().map_err(Trouble::host("make a directory to work in")));
        let work = Arc::new(work.await.map_err(failed)?);
        let made = self.make_in(&work, &reference, size, &tell).await;
        // Whoever is told of a failure finds nothing left; what a success leaves goes behind its back.
        if let (Err(_), Some(work)) = (&made, Arc::into_inner(work)) {
            let cleared =
                blocking(move || work.clear().map_err(Trouble::host("remove what was half made"))).await;
            if let Err(trouble) = cleared {
                tracing::warn!(image = reference, "{trouble}");
            }
        }
        made
    }

    async fn make_in(
        self: &Arc<Self>,
        work: &Arc<Work>,
        reference: &str,
        size: u64,
        tell: &Tell<Progress>,
    ) -> Result<(), Fault> {
        let stopper = Stopper::default();
        let (found, named) = match self.origin(reference) {
            Origin::File(path) => {
                let (path, work, name) = (path.to_owned(), Arc::clone(work), reference.to_owned());
                let stop = stopper.stop();
                let find = move || {
                    let local = Local::open(&path)?;
                    let state = local.state()?;
                    let found = local.find(&name, work.path(), size, &stop)?;
                    let name = file_name(&name, &path);
                    Ok((found, state.map(|state| Named { name, state: state.text, digest: String::new() })))
                };
                blocking(find).await.map_err(|trouble| trouble.fault(reference))?
            }
            Origin::Registry => {
                let image = self.registry.resolve(reference).await?;
                let named =
                    Named { name: reference.to_owned(), state: String::new(), digest: image.digest.clone() };
                let key = Key { digest: image.digest.clone(), size };
                let (inner, kept) = (Arc::clone(self), named.clone());
                let there = self.with(work, move |work| {
                    let there = inner.base(key)?.is_some();
                    if there { inner.keep(work, &kept) } else { Ok(()) }.map(|()| there)
                });
                if there.await.map_err(|trouble| trouble.fault(reference))? {
                    return Ok(());
                }
                let blobs = work
                    .directory("blobs")
                    .map_err(|error| Trouble::host("make a directory to work in")(error).fault(reference))?;
                (self.registry.fetch(image, &blobs, size, tell).await?, Some(named))
            }
        };
        let made = self.disk(work, found, named, size, &stopper, tell).await;
        made.map_err(|trouble| trouble.fault(reference))
    }

    /// Unpacks layers, makes the disk and publishes it.
    async fn disk(
        self: &Arc<Self>,
        work: &Arc<Work>,
        found: Found,
        named: Option<Named>,
        size: u64,
        stopper: &Stopper,
        tell: &Tell<Progress>,
    ) -> Result<(), Trouble> {
        // Before anything is unpacked for nothing.
        self.maker.find()?;
        let (stop, teller) = (stopper.stop(), tell.clone());
        let unpacked = self.with(work, move |work| {
            let directory = work.directory("tree").map_err(Trouble::host("make a directory to work in"))?;
            let mut tree = Tree::new(&directory, size)?;
            let layers = found.layers.len();
            let begins = |index| teller.progress(Progress::Unpacking { layer: index + 1, layers });
            let digest = layers::unpack(&found, &mut tree, size, &stop, begins)?;
            Ok((directory, tree.script(work.path())?, digest, found.runs))
        });
        let (directory, script, digest, runs) = unpacked.await?;
        tell.progress(Progress::Disk);
        let disk = work.path().join("disk.ext4");
        self.maker.make(&directory, &disk, size, script.as_deref()).await?;
        let inner = Arc::clone(self);
        self.with(work, move |work| {
            let key = Key { digest: digest.clone(), size };
            inner.cache.publish(work, &key, &disk, &runs).map_err(Trouble::host("keep the disk"))?;
            match named {
                Some(named) => inner.keep(work, &Named { digest, ..named }),
                None => Ok(()),
            }
        })
        .await
    }

    fn keep(&self, work: &Work, named: &Named) -> Result<(), Trouble> {
        self.cache.name_as(work, named).map_err(Trouble::host("keep what an image is called"))
    }

    /// Blocking work in a directory that stays until the work is done, whoever waits.
    async fn with<T: Send + 'static>(
        &self,
        work: &Arc<Work>,
        operation: impl FnOnce(&Work) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let work = Arc::clone(work);
        blocking(move || operation(&work)).await
    }
}

/// A path of the table, as a name of the cache: no reference has a space.
fn file_name(reference: &str, path: &Path) -> String {
    format!("{reference} {}", path.display())
}

async fn blocking<T: Send + 'static>(
    operation: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(operation).await.unwrap_or_else(|error| {
        Err(Trouble::Host { what: "work on an image".into(), error: std::io::Error::other(error) })
    })
}
