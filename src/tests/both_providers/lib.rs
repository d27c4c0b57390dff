//! The library in a program that has both providers of cryptography.

#![cfg(test)]
#![expect(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

#[path = "../secured/authority.rs"]
mod authority;
#[path = "../secured/ports.rs"]
mod ports;
#[path = "../secured/redis_server.rs"]
mod redis_server;

use authority::{Authority, Flaw};
use redis_server::{Admits, Redis};
use shasta_reader::{Options, Reader, Tag, topology::Seeds};

fn password(user: &str) -> String {
    format!("{user}-s3cret")
}

#[tokio::test]
async fn a_program_with_both_providers_reads_over_tls() {
    // What redis would take, and panics over: no default follows from what is linked.
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path(), "authority");
    let redis = Redis::start(Admits::Tls(Flaw::None), &authority, &[("reader", "~* +@all")]);
    let url = redis.trusted_url(Some("reader"));
    let reader = Reader::connect(&url, Options::default()).await.unwrap();
    let tag = Tag::new("a", "t", "s").unwrap();
    assert!(reader.snapshot(&tag).await.is_ok());
    // The same for who stores.
    let seeds = Seeds::parse(&url).unwrap();
    let mut node = seeds.open(&seeds.addresses()[0], std::time::Duration::from_secs(5)).unwrap();
    redis::cmd("PING").exec(&mut node).unwrap();
}
