//! An authority that is kept in two files, made where it is missing.

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SignatureAlgorithm,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;

use super::{CA_DAYS, CertsError, Pair, params, read};
use crate::validity;

/// An authority that can sign.
pub(super) struct Authority {
    /// It, as what signs.
    pub(super) issuer: Issuer<'static, KeyPair>,
    /// Its certificate, as PEM.
    pub(super) certificate: String,
    /// When it ends, if it was there.
    pub(super) ends: Option<OffsetDateTime>,
    /// Whether it was made just now.
    pub(super) is_new: bool,
}

impl Authority {
    /// The authority in these files, which calls itself `name`; one that is made signs by `algorithm`.
    pub(super) fn load_or_create(
        pair: &Pair,
        name: &str,
        algorithm: &'static SignatureAlgorithm,
    ) -> Result<Self, CertsError> {
        if !pair.is_there()? {
            let key = KeyPair::generate_for(algorithm)?;
            let params = params_of(name, &key);
            let certificate = params.self_signed(&key)?.pem();
            pair.write(&certificate, &key)?;
            return Ok(Self { issuer: Issuer::new(params, key), certificate, ends: None, is_new: true });
        }
        let foreign = || CertsError::Foreign { path: pair.cert.clone() };
        let key = KeyPair::from_pem(&read(&pair.key)?).map_err(|_| foreign())?;
        let certificate = read(&pair.cert)?;
        let there = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| foreign())?;
        // Only the name and the key of an issuer go into what it signs: with these the same, ours is the one there.
        let params = params_of(name, &key);
        let ours = params.self_signed(&key)?;
        if anchor(&there).ok_or_else(foreign)? != anchor(ours.der()).ok_or_else(foreign)? {
            return Err(foreign());
        }
        let ends = validity::ends(&there);
        if ends.is_some_and(|ends| ends <= OffsetDateTime::now_utc()) {
            return Err(CertsError::Expired { path: pair.cert.clone() });
        }
        Ok(Self { issuer: Issuer::new(params, key), certificate, ends, is_new: false })
    }
}

/// The name and the key of an authority.
fn anchor(certificate: &CertificateDer<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let anchor = webpki::anchor_from_trusted_cert(certificate).ok()?;
    Some((anchor.subject.to_vec(), anchor.subject_public_key_info.to_vec()))
}

/// An authority's certificate. Its key is in its name: of two authorities of one name a client could say no more than
/// that a signature is bad, where it should say that it does not know the issuer.
fn params_of(name: &str, key: &KeyPair) -> CertificateParams {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.public_key_raw());
    let tag: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let mut params = params(&format!("{name} {tag}"), CA_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}
