//! The provider of cryptography that this process uses, named once.

use rustls::crypto::{CryptoProvider, ring};

/// Makes ring's the process' provider, unless the program chose one of its own before. Without one a TLS connection to
/// Redis panics: its client takes the process' default, and rustls has none as soon as two providers are linked.
pub fn install_provider() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been faster; then there is one.
        let _ = ring::default_provider().install_default();
    }
}

#[cfg(test)]
mod tests {
    use crate::shards::Seeds;

    #[test]
    fn a_client_over_tls_needs_no_set_up_by_its_caller() {
        // Feature `custom-provider` makes rustls refuse to choose, as it does where ring and aws-lc-rs are both linked.
        let hangs_up = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let seeds = Seeds::parse(&format!("rediss://{}", hangs_up.local_addr().unwrap())).unwrap();
        std::thread::spawn(move || hangs_up.incoming().for_each(drop));
        assert!(seeds.open(&seeds.addresses()[0], std::time::Duration::from_secs(1)).is_err());
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
