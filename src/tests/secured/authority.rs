//! Authorities, and certificates as they should be or with one thing wrong.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// Who signs certificates; its own is in `file`.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// Its certificate, as `--ca-file` takes it.
    pub file: PathBuf,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    Expired,
    NotYetValid,
    /// It is for `elsewhere.invalid`.
    OtherName,
}

/// A certificate for 127.0.0.1 and `localhost`, with its key, in files.
pub struct Issued {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Key and chain in one file, as Kafka takes them.
    pub store: PathBuf,
}

impl Authority {
    pub fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let file = dir.join(format!("{name}.pem"));
        fs::write(&file, &pem).unwrap();
        Self { issuer: Issuer::new(params, key), pem, file }
    }

    pub fn issue(&self, dir: &Path, name: &str, flaw: Flaw) -> Issued {
        let names = match flaw {
            Flaw::OtherName => vec!["elsewhere.invalid".to_owned()],
            _ => vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
        };
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        match flaw {
            Flaw::Expired => {
                (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
            }
            Flaw::NotYetValid => {
                (params.not_before, params.not_after) = (date_time_ymd(2301, 1, 1), date_time_ymd(2302, 1, 1));
            }
            Flaw::None | Flaw::OtherName => {}
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let file = |suffix: &str, text: String| {
            let path = dir.join(format!("{name}{suffix}"));
            fs::write(&path, text).unwrap();
            path
        };
        Issued {
            store: file("-store.pem", format!("{}{certificate}{}", key.serialize_pem(), self.pem)),
            certificate: file(".crt", certificate),
            key: file(".key", key.serialize_pem()),
        }
    }
}
