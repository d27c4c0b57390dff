//! A run of variant `laptop` as most of these tests make it: rows in CSV that are kept, and a proof afterwards.

use std::path::{Path, PathBuf};

use shasta::{
    cluster::{Addresses, Endpoints},
    output::rows::Format,
    run::Request,
    variant::{Layer, Variant},
};

/// The run of this name with these settings, whose files go to `out`. A cluster that is there is reached at `addresses`, and may
/// have been used before.
pub fn request(name: &str, out: &Path, addresses: Option<Addresses>, overrides: &Layer) -> Request {
    let (variant_name, variant) = Variant::load("laptop", overrides).unwrap();
    Request {
        name: variant_name,
        variant,
        overrides: overrides.given(),
        run: Some(name.to_owned()),
        out: out.to_owned(),
        format: Format::Csv,
        keep_rows: true,
        overload: false,
        verify: true,
        keep_cluster: false,
        reuse_redis: addresses.is_some(),
        addresses: addresses.unwrap_or_default(),
        program: PathBuf::from(env!("CARGO_BIN_EXE_experiment")),
        command_line: Vec::new(),
    }
}

/// The addresses of a cluster, for runs on it.
#[allow(dead_code, reason = "one test target has clusters of its own, another names addresses")]
pub fn addresses(endpoints: &Endpoints) -> Addresses {
    Addresses {
        bootstrap: Some(endpoints.kafka.bootstrap.join(",")),
        redis_url: Some(endpoints.redis_url.clone()),
        ..Addresses::default()
    }
}
