//! Images: what is there, and getting what is not.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::models::{ImageInfo, PullLine};
use super::{Engine, found};
use crate::client::{Call, Lines};
use crate::error::Failure;

/// How long a pull may go without a word. A service says when a layer begins and not how far it is, so that this is how
/// long one layer may take.
pub(crate) const STALL: Duration = Duration::from_secs(1800);

impl Engine {
    /// An image by its reference or id.
    pub(crate) async fn inspect_image(&self, reference: &str) -> Result<Option<ImageInfo>, Failure> {
        found(self.client.json(Call::get("inspect image", &["images", reference, "json"])).await)
    }

    /// Begins to pull an image. `credentials` are what the service reads from `X-Registry-Auth`.
    pub(crate) async fn pull(
        &self,
        reference: &str,
        credentials: Option<HeaderValue>,
        check_tls: bool,
    ) -> Result<Pull, Failure> {
        let mut call = Call::post("pull image", &["images", "pull"])
            .query("reference", reference)
            .query("policy", "always");
        if !check_tls {
            call = call.query("tlsVerify", "false");
        }
        if let Some(credentials) = credentials {
            call = call.secret_header(HeaderName::from_static("x-registry-auth"), credentials);
        }
        Ok(Pull { lines: self.client.lines(call).await? })
    }
}

/// A pull under way; dropped, the service gives it up.
pub(crate) struct Pull {
    lines: Lines,
}

impl Pull {
    /// The next line; `None` when the service has said all.
    ///
    /// # Errors
    /// `DeadlineExceeded` when nothing was said for [`STALL`].
    pub(crate) async fn next(&mut self) -> Result<Option<PullLine>, Failure> {
        let line = tokio::time::timeout(STALL, self.lines.next()).await;
        line.unwrap_or_else(|_| Err(Failure::late("pull image", STALL)))
    }
}
