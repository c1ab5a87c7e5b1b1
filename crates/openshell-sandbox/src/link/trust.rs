//! Whom the supervisor believes to be its gateway: whoever has a certificate that the one CA in its sandbox has signed, for
//! the very host that it dials. The CAs of the image count for nothing.
//!
//! TLS 1.3, with what the gateway's own CA signs with and one cipher: whatever else rustls has stays out of the program, which
//! would be a quarter of a megabyte larger.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::rand::{GetRandomFlags, getrandom};
use rustls::client::Resumption;
use rustls::crypto::ring::{cipher_suite, kx_group};
use rustls::crypto::{
    CipherSuiteCommon, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme, SupportedCipherSuite, Tls13CipherSuite};

/// What signs: Ed25519 (RFC 8446, section 4.2.3).
static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::ring::ED25519],
    mapping: &[(SignatureScheme::ED25519, &[webpki::ring::ED25519])],
};

/// The cipher that everybody has to have (RFC 8446, section 9.1), without what it is to QUIC.
static CIPHER: Tls13CipherSuite = match cipher_suite::TLS13_AES_128_GCM_SHA256 {
    SupportedCipherSuite::Tls13(all) => Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: all.common.suite,
            hash_provider: all.common.hash_provider,
            confidentiality_limit: all.common.confidentiality_limit,
        },
        hkdf_provider: all.hkdf_provider,
        aead_alg: all.aead_alg,
        quic: None,
    },
    #[allow(
        unreachable_patterns,
        reason = "there are others where somebody else in a build asks for TLS 1.2"
    )]
    _ => panic!("a cipher of TLS 1.3"),
};

/// What the supervisor's end of TLS knows; copies are the same.
#[derive(Debug, Clone)]
pub(crate) struct Trust(pub(super) Arc<ClientConfig>);

/// Why nobody can be believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// The file cannot be read.
    #[error("cannot read the gateway's CA in `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There is none in it.
    #[error("there is no certificate of a CA in `{}`", .0.display())]
    Nothing(PathBuf),
    /// It is not as it should be.
    #[error("the gateway's CA in `{}` cannot be used: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

impl Trust {
    /// Reads the CA that the driver left, as PEM.
    pub(crate) fn read(path: &Path) -> Result<Self, TrustError> {
        let text =
            std::fs::read(path).map_err(|source| TrustError::File { path: path.to_owned(), source })?;
        let unusable = |source| TrustError::Unusable { path: path.to_owned(), source };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|_| TrustError::Nothing(path.to_owned()))?;
            roots.add(certificate).map_err(unusable)?;
        }
        if roots.is_empty() {
            return Err(TrustError::Nothing(path.to_owned()));
        }
        let provider = CryptoProvider {
            cipher_suites: vec![SupportedCipherSuite::Tls13(&CIPHER)],
            kx_groups: vec![kx_group::X25519],
            signature_verification_algorithms: SIGNATURES,
            secure_random: &Kernel,
            key_provider: &NoKeys,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        // One connection, which stays: nothing to resume, and nothing kept for it.
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }
}

/// Random numbers of the kernel's (getrandom(2)).
#[derive(Debug)]
struct Kernel;

impl SecureRandom for Kernel {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        let mut rest = buffer;
        while !rest.is_empty() {
            let filled = getrandom(&mut *rest, GetRandomFlags::empty()).map_err(|_| GetRandomFailed)?;
            rest = rest.get_mut(filled..).unwrap_or_default();
        }
        Ok(())
    }
}

/// The supervisor shows a token, and no certificate.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("a supervisor has no certificate".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_ca_is_refused_in_words() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ca.crt");
        let missing = Trust::read(&path).expect_err("nothing is there");
        assert!(missing.to_string().starts_with("cannot read the gateway's CA in `"), "{missing}");
        for text in ["", "no PEM", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, text).expect("a file");
            let error = Trust::read(&path).expect_err("no CA");
            assert!(error.to_string().starts_with("there is no certificate of a CA in `"), "{error}");
        }
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .expect("a file");
        let error = Trust::read(&path).expect_err("no certificate");
        assert!(error.to_string().contains("cannot be used"), "{error}");
    }

    #[test]
    fn random_numbers_fill_all_of_a_buffer() {
        let mut buffer = [0; 4096];
        Kernel.fill(&mut buffer).expect("random numbers");
        assert!(buffer.chunks(64).all(|chunk| chunk.iter().any(|byte| *byte != 0)));
    }
}
