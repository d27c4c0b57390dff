//! TLS: the provider of cryptography that this process uses, named once, the authorities that it trusts, and why a server
//! is not accepted.

mod probe;

use std::path::Path;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject},
};

pub use self::probe::{Spoken, refusal};

/// Makes ring's the process' provider, unless the program chose one of its own before. Without one a TLS connection to
/// Redis panics: its client takes the process' default, and rustls has none as soon as two providers are linked.
pub fn install_provider() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been faster; then there is one.
        let _ = ring::default_provider().install_default();
    }
}

/// The authorities in a file, or those of the system.
///
/// # Errors
/// The file is missing, or holds no certificate; the system has none. The text names the file and says what is wanted.
pub fn authorities(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let none = || "this system trusts no authority; install ca-certificates, or name a PEM file".to_owned();
        return if roots.is_empty() { Err(none()) } else { Ok(roots) };
    };
    let wrong =
        |problem: String| format!("{}: {problem}; name a PEM file with the authority's certificate", file.display());
    // Read whole first, so that a directory or a missing file is told as the operating system does.
    let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(format!("it is no PEM file ({error})")))?;
        roots.add(certificate).map_err(|error| wrong(format!("it holds no certificate of an authority ({error})")))?;
    }
    if roots.is_empty() {
        return Err(wrong("it holds no certificate (no -----BEGIN CERTIFICATE-----)".to_owned()));
    }
    Ok(roots)
}

/// A client that verifies servers against these authorities, without a certificate of its own.
pub fn client_config(authorities: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("ring has the default protocol versions")
        .with_root_certificates(authorities)
        .with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Seeds;

    #[test]
    fn a_client_over_tls_needs_no_set_up_by_its_caller() {
        // With both providers linked nothing else would be one: src/tests/both_providers.
        let hangs_up = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let seeds = Seeds::parse(&format!("rediss://{}", hangs_up.local_addr().unwrap())).unwrap();
        std::thread::spawn(move || hangs_up.incoming().for_each(drop));
        assert!(seeds.open(&seeds.addresses()[0], std::time::Duration::from_secs(1)).is_err());
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }

    #[test]
    fn a_file_without_an_authority_is_named_with_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let told = |bytes: Option<&[u8]>| {
            if let Some(bytes) = bytes {
                std::fs::write(&file, bytes).unwrap();
            }
            authorities(Some(&file)).unwrap_err()
        };
        let missing = told(None);
        assert!(missing.contains("No such file") && missing.contains("name a PEM file"), "{missing}");
        for wrong in [
            &b"not a certificate"[..],
            b"",
            b"\x30\x82\x01\x00",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            b"-----BEGIN CERTIFICATE-----\n!!\n",
        ] {
            let told = told(Some(wrong));
            assert!(told.starts_with(file.to_str().unwrap()) && told.contains("name a PEM file"), "{told}");
        }
        assert!(authorities(Some(dir.path())).unwrap_err().contains("directory"));
    }
}
